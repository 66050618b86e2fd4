-- Admits a call and counts it as reserved, in one step: a copy of `usage::admission::admit` and of
-- the transitions in `usage::ledger`.
-- KEYS: state, leases, ends, settled.
-- ARGV: generation, day, lease id, lease, end in microseconds, number of caps;
--       per cap: name of its sum, what the call adds to it (-1: the cap does not match), hard limit
--       and soft limit (-1: none), 1 if the soft limit includes what is reserved or else 0;
--       then pairs of the name of a sum and what the call adds to it.
-- Returns 0 if the state is not of this generation, 1 if the day is unknown, 2 if admitted, 3 if
-- admitted and degraded, 4 and 5 likewise for a call that has settled, 10 + n if refused by the nth
-- cap (from 0), 30 + n if refused by it only because of what is reserved.
local state, leases, ends, settled_ids = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local day, id = ARGV[2], ARGV[3]
local count = tonumber(ARGV[6])
local names = { 'generation', 'open', day .. ':version' }
for n = 0, count - 1 do
  local name = ARGV[7 + 5 * n]
  names[#names + 1] = day .. ':' .. name
  names[#names + 1] = day .. ':reserved_' .. name
end
local known = redis.call('HMGET', state, unpack(names))
-- A key that was deleted or evicted makes the counts differ: nothing here can be trusted.
local open = tonumber(known[2])
if known[1] ~= ARGV[1] or redis.call('HLEN', leases) ~= open
  or redis.call('ZCARD', ends) ~= open then
  return 0
end
if not known[3] then return 1 end

local degraded, refused = false, nil
for n = 0, count - 1 do
  local settled, reserved = tonumber(known[4 + 2 * n] or '0'), tonumber(known[5 + 2 * n] or '0')
  local arg = 7 + 5 * n
  local adds, hard, soft = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3])
  local used = settled + reserved * tonumber(ARGV[arg + 4])
  if soft >= 0 and used >= soft then degraded = true end
  if not refused and hard >= 0 and adds >= 0 then
    local fits = settled < hard and settled + adds <= hard
    if not fits or settled + adds + reserved > hard then refused = (fits and 30 or 10) + n end
  end
end
local admitted = degraded and 3 or 2

-- A repeat of a reservation.
if redis.call('HEXISTS', leases, id) == 1 then return admitted end
if redis.call('ZSCORE', settled_ids, id) then return admitted + 2 end
if refused then return refused end

redis.call('HSET', leases, id, ARGV[4])
redis.call('ZADD', ends, ARGV[5], id)
redis.call('HINCRBY', state, 'open', 1)
for arg = 7 + 5 * count, #ARGV, 2 do
  redis.call('HINCRBY', state, day .. ':reserved_' .. ARGV[arg], ARGV[arg + 1])
end
return admitted
