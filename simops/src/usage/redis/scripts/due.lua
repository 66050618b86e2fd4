-- The leases that ended before a time, and a sign of life for the keys.
-- KEYS: state, leases, ends. ARGV: generation, now in microseconds, most, life in seconds.
-- Answers with leases, or with false when not of this generation.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return false end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[4]) end
local ids = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
if #ids == 0 then return {} end
return redis.call('HMGET', KEYS[2], unpack(ids))
