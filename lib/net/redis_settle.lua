-- Gives a lease back without a response, and leaves a note that nobody need ask for a while.
--
-- KEYS: the certificate, requests begun with the responder's host
-- ARGV: field and token of the lease, ms that the note lasts or 0, "1" if the request has failed
-- Returns 1; 0 if the lease is another's by now, and nothing is written.
--
-- The first write is the HSET, which Redis refuses when its memory is full.
local field, token, wait, failed = unpack(ARGV, 1, 4)
wait = tonumber(wait)

local lease = redis.pcall('HGET', KEYS[1], field)
if type(lease) == 'table' then return lease end
if not lease or string.match(lease, '^%d+ (.+)$') ~= token then
  redis.pcall('ZREM', KEYS[2], token)
  return 0
end

local set
if wait > 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local note = redis.call('HGET', KEYS[1], 'w')
  local count = 0
  if failed == '1' then
    count = math.min((note and tonumber(string.match(note, '^%d+ (%d+)$')) or 0) + 1, 99)
  end
  set = redis.pcall('HSET', KEYS[1], 'w', string.format('%.0f %.0f', now + wait, count))
end
redis.pcall('HDEL', KEYS[1], field)
redis.pcall('ZREM', KEYS[2], token)
if type(set) == 'table' then return set end
-- The count outlives the note, or nothing would be left of it for who asks next.
local keep = 2 * wait + 600000
if wait > 0 and redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep)) end
return 1
