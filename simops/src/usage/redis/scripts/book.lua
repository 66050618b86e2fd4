-- Ends a lease, if it is open here, and stores sets of the ledger's sums.
-- KEYS: state, leases, ends, settled.
-- ARGV: generation, lease id (may be empty), for a lease that settled the time in microseconds
--       until which its id is remembered (else empty), then per set: its name, version, the number of
--       its sums, and per sum its name and what is settled.
-- Returns 0 if the state is not of this generation, 1 if done.
local state, leases, ends, settled_ids = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', state, 'generation') ~= ARGV[1] then return 0 end

local id = ARGV[2]
local lease = id ~= '' and redis.call('HGET', leases, id)
if lease then
  redis.call('HDEL', leases, id)
  redis.call('ZREM', ends, id)
  redis.call('HINCRBY', state, 'open', -1)
  for _, sum in ipairs(cjson.decode(lease).adds) do
    redis.call('HINCRBY', state, sum[1] .. ':reserved_' .. sum[2], '-' .. sum[3])
  end
end
-- So that a late repeat of its reservation opens no second lease.
if id ~= '' and ARGV[3] ~= '' then redis.call('ZADD', settled_ids, ARGV[3], id) end

local arg = 4
while ARGV[arg] do
  local set, given, count = ARGV[arg], ARGV[arg + 1], tonumber(ARGV[arg + 2])
  local version = redis.call('HGET', state, set .. ':version')
  -- Of two copies the one with the larger version is kept, in whatever order they arrive.
  if not version or tonumber(version) < tonumber(given) then
    redis.call('HSET', state, set .. ':version', given)
    for n = 0, count - 1 do
      redis.call('HSET', state, set .. ':' .. ARGV[arg + 3 + 2 * n], ARGV[arg + 4 + 2 * n])
    end
  end
  arg = arg + 3 + 2 * count
end
return 1
