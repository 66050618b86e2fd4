-- Ends a lease, if it is open here, and puts down what the ledger says of its day.
-- KEYS: state, leases, ends.
-- ARGV: generation, lease id (may be empty), day (may be empty), version, then the day's totals:
--       all calls, free, groq, gemini, unpriced, cost.
-- Answers 0 not of this generation, 1 done.
local state, leases, ends = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HGET', state, 'generation') ~= ARGV[1] then return 0 end
local names = { ':calls_total', ':calls_openrouter_free', ':calls_groq', ':calls_gemini',
  ':calls_unpriced', ':cost' }

local lease = ARGV[2] ~= '' and redis.call('HGET', leases, ARGV[2])
if lease then
  redis.call('HDEL', leases, ARGV[2])
  redis.call('ZREM', ends, ARGV[2])
  redis.call('HINCRBY', state, 'open', -1)
  local day, free, groq, gemini, unpriced, cost =
    string.match(lease, '^([^|]*)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|')
  local counted = { '1', free, groq, gemini, unpriced, cost }
  for n = 1, 6 do
    if counted[n] ~= '0' then
      redis.call('HINCRBY', state, day .. ':reserved' .. string.gsub(names[n], '^:', '_'),
        '-' .. counted[n])
    end
  end
end

local day = ARGV[3]
if day == '' then return 1 end
local version = redis.call('HGET', state, day .. ':version')
if not version then
  for n = 1, 6 do
    redis.call('HSETNX', state, day .. ':reserved' .. string.gsub(names[n], '^:', '_'), '0')
  end
end
-- Of two copies the newer one holds, in whatever order they arrive.
if not version or tonumber(version) < tonumber(ARGV[4]) then
  redis.call('HSET', state, day .. ':version', ARGV[4])
  for n = 1, 6 do redis.call('HSET', state, day .. names[n], ARGV[4 + n]) end
end
return 1
