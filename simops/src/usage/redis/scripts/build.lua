-- Replaces all state by that of a new generation. Settled ids stay true and are kept.
-- KEYS: state, leases, ends, settled.
-- ARGV: generation, seconds until the keys expire, number of days,
--       per day: day, version, six sums settled, six reserved;
--       then per lease: id, end in microseconds, lease.
local state, leases, ends = KEYS[1], KEYS[2], KEYS[3]
redis.call('DEL', state, leases, ends)
local names = { 'calls_total', 'calls_openrouter_free', 'calls_groq', 'calls_gemini',
  'calls_unpriced', 'cost' }
local at = 4
for _ = 1, tonumber(ARGV[3]) do
  local day = ARGV[at]
  redis.call('HSET', state, day .. ':version', ARGV[at + 1])
  for n = 1, 6 do
    redis.call('HSET', state, day .. ':' .. names[n], ARGV[at + 1 + n])
    redis.call('HSET', state, day .. ':reserved_' .. names[n], ARGV[at + 7 + n])
  end
  at = at + 14
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
