-- Replaces all state by that of a new generation. Settled ids stay true and are kept.
-- KEYS: state, leases, ends, settled.
-- ARGV: generation, seconds until the keys expire, number of sets, per set: its name, version, the
--       number of its sums, and per sum its name, what is settled and what is reserved;
--       then per lease: id, end in microseconds, lease.
local state, leases, ends = KEYS[1], KEYS[2], KEYS[3]
redis.call('DEL', state, leases, ends)
local at = 4
for _ = 1, tonumber(ARGV[3]) do
  local set, count = ARGV[at], tonumber(ARGV[at + 2])
  redis.call('HSET', state, set .. ':version', ARGV[at + 1])
  for n = 0, count - 1 do
    local sum = at + 3 + 3 * n
    redis.call('HSET', state, set .. ':' .. ARGV[sum], ARGV[sum + 1])
    redis.call('HSET', state, set .. ':reserved_' .. ARGV[sum], ARGV[sum + 2])
  end
  at = at + 3 + 3 * count
end
local open = 0
while ARGV[at] do
  redis.call('ZADD', ends, ARGV[at + 1], ARGV[at])
  redis.call('HSET', leases, ARGV[at], ARGV[at + 2])
  open = open + 1
  at = at + 3
end
redis.call('HSET', state, 'open', open, 'generation', ARGV[1])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end
return 1
