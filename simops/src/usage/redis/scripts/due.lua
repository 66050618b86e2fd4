-- Leases that expired before a time. Forgets settled ids whose time is over, and keeps the keys from
-- expiring.
-- KEYS: state, leases, ends, settled. ARGV: generation, now in microseconds, limit, seconds until
-- the keys expire.
-- Returns leases, or false if the state is not of this generation.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return false end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[2])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[4]) end
local ids = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
if #ids == 0 then return {} end
return redis.call('HMGET', KEYS[2], unpack(ids))
