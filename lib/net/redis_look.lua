-- Looks for the responses of several certificates, and takes leases for those that somebody should ask for.
--
-- KEYS: requests begun with the responder's host; then the certificates
-- ARGV: ms that a lease lasts, leases wanted, leases begun within two seconds at most, bytes of a response at most,
--       bytes of all responses at most; then for each certificate: field and token of the lease, SHA-1 of the response
--       that is known or "", "1" if a note does not count
-- Returns for each certificate one of: {"r", response} {"l", failures} {"a", ms until the lease of another ends}
--       {"n", ms until the note ends, failures} {"-"} {"f"}: something is there, but the answer is full
--       {"x", error}: the store takes no writes
--
-- Whoever can write to the store may have put anything into these keys: no value makes the script fail. The first write
-- is the HSET, which Redis refuses when its memory is full; after any other it lets the rest of a script through.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_ms, wanted, most_begun = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most_bytes, room = tonumber(ARGV[4]), tonumber(ARGV[5])
local longest = 8 * 24 * 3600 * 1000

-- What is left of a value "<ms when it ends> ..."
local function left(value)
  local till = value and tonumber(string.match(value, '^(%d+) ')) or 0
  return math.max(0, math.min(till - now, longest))
end
local function failures(note)
  return math.min(note and tonumber(string.match(note, '^%d+ (%d+)$')) or 0, 99)
end
local function is_error(reply)
  return type(reply) == 'table' and reply.err ~= nil
end

local begun = 0
if wanted > 0 then
  begun = redis.pcall('ZCOUNT', KEYS[1], now, '+inf')
  if is_error(begun) then begun = 0 end
end

local function take_lease(key, field, token)
  local set = redis.pcall('HSET', key, field, string.format('%.0f %s', now + lease_ms, token))
  if is_error(set) then return set.err end
  if redis.call('PTTL', key) < lease_ms then redis.call('PEXPIRE', key, lease_ms) end
  redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  redis.pcall('ZADD', KEYS[1], now + 2000, token)
  redis.pcall('PEXPIRE', KEYS[1], lease_ms)
  wanted = wanted - 1
  begun = begun + 1
end

local answers = {}
for i = 2, #KEYS do
  local field, token, known, past_note = unpack(ARGV, 4 * i - 2, 4 * i + 1)
  local answer
  local size = redis.pcall('HSTRLEN', KEYS[i], 'r')
  if is_error(size) then
    answer = {'x', size.err}
  else
    -- A response that is too large is none.
    local response = size > 0 and size <= most_bytes and redis.call('HGET', KEYS[i], 'r')
    if response and redis.sha1hex(response) ~= known then
      if size > room then
        answer = {'f'}
      else
        room = room - size
        answer = {'r', response}
      end
    else
      local held = redis.call('HMGET', KEYS[i], field, 'w')
      if left(held[2]) > 0 and past_note ~= '1' then
        answer = {'n', left(held[2]), failures(held[2])}
      elseif left(held[1]) > 0 then
        answer = {'a', left(held[1])}
      elseif wanted <= 0 or begun >= most_begun then
        answer = {'-'}
      else
        local refused = take_lease(KEYS[i], field, token)
        answer = refused and {'x', refused} or {'l', failures(held[2])}
      end
    end
  end
  answers[i - 1] = answer
end
return answers
