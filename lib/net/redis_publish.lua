-- Stores the response of a certificate, unless another one is there than the one it was compared with.
--
-- KEYS: the certificate, requests begun with the responder's host, news
-- ARGV: field and token of the lease or "", response, ms that it is kept, SHA-1 of what it may replace or "", bytes of a
--       response at most, the certificate's id, news kept at most, ms that news are kept
-- Returns 1: stored, 0: this response was there already, or the other one that is there; nothing is written then.
--
-- The first write is the HSET, which Redis refuses when its memory is full.
local field, token, response, keep, replaces = unpack(ARGV, 1, 5)

local function is_error(reply)
  return type(reply) == 'table' and reply.err ~= nil
end
local function give_back()
  if token == '' then return end
  local lease = redis.call('HGET', KEYS[1], field)
  if lease and string.match(lease, '^%d+ (.+)$') == token then redis.pcall('HDEL', KEYS[1], field) end
  redis.pcall('ZREM', KEYS[2], token)
end

local size = redis.pcall('HSTRLEN', KEYS[1], 'r')
if is_error(size) and string.find(size.err, 'WRONGTYPE', 1, true) then
  redis.call('DEL', KEYS[1]) -- somebody put something else there
  size = 0
end
if is_error(size) then return size end
local held = size > 0 and size <= tonumber(ARGV[6]) and redis.call('HGET', KEYS[1], 'r')
if held and held ~= response and redis.sha1hex(held) ~= replaces then
  give_back()
  return held
end
local set = redis.pcall('HSET', KEYS[1], 'r', response)
if is_error(set) then
  give_back()
  return set
end
-- Leases and notes, whosever they are, have come to their end.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'r', response)
redis.call('PEXPIRE', KEYS[1], keep)
if token ~= '' then redis.pcall('ZREM', KEYS[2], token) end
if held == response then return 0 end
local function tell()
  return redis.pcall('XADD', KEYS[3], 'MAXLEN', '~', ARGV[8], '*', 'c', ARGV[7], 's', redis.sha1hex(response))
end
if is_error(tell()) then
  redis.pcall('DEL', KEYS[3]) -- it has an entry with the last id there is, or is no stream
  tell()
end
redis.pcall('PEXPIRE', KEYS[3], ARGV[9])
return 1
