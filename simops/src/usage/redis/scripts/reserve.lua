-- Admits a call and counts it as reserved, in one step: a copy of `usage::admission::admit` and of
-- the transitions in `usage::ledger`. Sums come in sets, one for a day and one for each use of a budget.
-- KEYS: state, leases, ends, settled.
-- ARGV: generation, lease id, lease, end in microseconds, number of sets, the sets; number of lines,
--       per line in order of id: set, name of its sum, what the call adds to it (-1: the line does not
--       limit it), hard limit and soft limit (-1: none), 1 if the soft limit includes what is reserved
--       or else 0, 1 if all that was used is counted or else 0;
--       then per sum that the call adds to: set, name, amount.
-- Returns 0 if the state is not of this generation, 1 if a set is unknown, 2 if admitted, 3 if admitted
-- and degraded, 4 and 5 likewise for a call that has settled; if the nth line (from 0) refuses,
-- 10 + 3n when its limit is spent, 11 + 3n when the call exceeds the whole limit, and 12 + 3n when only
-- what is reserved is in the way.
local state, leases, ends, settled_ids = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id = ARGV[2]
local sets = tonumber(ARGV[5])
local lines_at = 7 + sets
local lines = tonumber(ARGV[lines_at - 1])
local names = { 'generation', 'open' }
for n = 1, sets do names[#names + 1] = ARGV[5 + n] .. ':version' end
for n = 0, lines - 1 do
  local arg = lines_at + 7 * n
  names[#names + 1] = ARGV[arg] .. ':' .. ARGV[arg + 1]
  names[#names + 1] = ARGV[arg] .. ':reserved_' .. ARGV[arg + 1]
end
local known = redis.call('HMGET', state, unpack(names))
-- A key that was deleted or evicted makes the counts differ: nothing here can be trusted.
local open = tonumber(known[2])
if known[1] ~= ARGV[1] or redis.call('HLEN', leases) ~= open
  or redis.call('ZCARD', ends) ~= open then
  return 0
end
for n = 1, sets do
  if not known[2 + n] then return 1 end
end

local degraded, refused = false, nil
for n = 0, lines - 1 do
  local at, arg = 3 + sets + 2 * n, lines_at + 7 * n
  local settled, reserved = tonumber(known[at] or '0'), tonumber(known[at + 1] or '0')
  local adds, hard, soft = tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3]), tonumber(ARGV[arg + 4])
  local used = settled + reserved * tonumber(ARGV[arg + 5])
  if soft >= 0 and used >= soft then degraded = true end
  if not refused and hard >= 0 and adds >= 0 then
    local with_call = settled + adds
    if settled >= hard then
      refused = 10 + 3 * n
    elseif adds > hard then
      refused = 11 + 3 * n
    elseif with_call > hard then
      refused = 10 + 3 * n
    elseif ARGV[arg + 6] ~= '1' or with_call + reserved > hard then
      refused = 12 + 3 * n
    end
  end
end
local admitted = degraded and 3 or 2

-- A repeat of a reservation.
if redis.call('HEXISTS', leases, id) == 1 then return admitted end
if redis.call('ZSCORE', settled_ids, id) then return admitted + 2 end
if refused then return refused end

redis.call('HSET', leases, id, ARGV[3])
redis.call('ZADD', ends, ARGV[4], id)
redis.call('HINCRBY', state, 'open', 1)
for arg = lines_at + 7 * lines, #ARGV, 3 do
  redis.call('HINCRBY', state, ARGV[arg] .. ':reserved_' .. ARGV[arg + 1], ARGV[arg + 2])
end
return admitted
