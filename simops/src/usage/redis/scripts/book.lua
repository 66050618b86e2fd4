-- Ends a lease, if it is open here, and stores the ledger's sums of a day.
-- KEYS: state, leases, ends, settled.
-- ARGV: generation, lease id (may be empty), for a lease that settled the time in microseconds
--       until which its id is remembered (else empty), day (may be empty), version, then the day's
--       sums: all calls, free, groq, gemini, unpriced, cost.
-- Returns 0 if the state is not of this generation, 1 if done.
local state, leases, ends, settled_ids = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', state, 'generation') ~= ARGV[1] then return 0 end
local names = { ':calls_total', ':calls_openrouter_free', ':calls_groq', ':calls_gemini',
  ':calls_unpriced', ':cost' }

local id = ARGV[2]
local lease = id ~= '' and redis.call('HGET', leases, id)
if lease then
  redis.call('HDEL', leases, id)
  redis.call('ZREM', ends, id)
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
-- So that a late repeat of its reservation opens no second lease.
if id ~= '' and ARGV[3] ~= '' then redis.call('ZADD', settled_ids, ARGV[3], id) end

local day = ARGV[4]
if day == '' then return 1 end
local version = redis.call('HGET', state, day .. ':version')
if not version then
  for n = 1, 6 do
    redis.call('HSETNX', state, day .. ':reserved' .. string.gsub(names[n], '^:', '_'), '0')
  end
end
-- Of two copies the one with the larger version is kept, in whatever order they arrive.
if not version or tonumber(version) < tonumber(ARGV[5]) then
  redis.call('HSET', state, day .. ':version', ARGV[5])
  for n = 1, 6 do redis.call('HSET', state, day .. names[n], ARGV[5 + n]) end
end
return 1
