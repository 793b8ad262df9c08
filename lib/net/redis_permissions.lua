-- Tells which commands of the other scripts are refused to the user, by running each of them on keys of its own. The
-- others ignore some refusals, and are told little about those that end them.
--
-- KEYS: a hash, a sorted set and a stream that nobody else uses; all are removed again
-- ARGV: ms that they live where they cannot be removed
-- Returns an array of texts, "<COMMAND> <error>"
--
-- The first write is the HSET, which Redis refuses when its memory is full.
local hash, set, stream = unpack(KEYS, 1, 3)
local life = ARGV[1]
local refused = {}

local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err ~= nil then
    refused[#refused + 1] = command .. ' ' .. reply.err
  end
end

try('TIME')
try('HSET', hash, 'r', 'x')
try('PEXPIRE', hash, life)
try('PTTL', hash)
try('HSTRLEN', hash, 'r')
try('HGET', hash, 'r')
try('HMGET', hash, 'r', 'w')
try('HDEL', hash, 'w')
try('ZADD', set, 1, 'x')
redis.pcall('PEXPIRE', set, life)
try('ZCOUNT', set, 0, '+inf')
try('ZREM', set, 'y')
try('ZREMRANGEBYSCORE', set, '-inf', 0)
try('XADD', stream, 'MAXLEN', '~', 1, '*', 'c', 'x')
redis.pcall('PEXPIRE', stream, life)
redis.pcall('HDEL', hash, 'r')
try('DEL', hash, set, stream)
return refused
