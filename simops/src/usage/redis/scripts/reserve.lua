-- Admits a call and counts it as reserved, in one step: a copy of `usage::admission::admit`.
-- KEYS: state, leases, ends.
-- ARGV: generation, day, lease id, lease, end in microseconds;
--       caps: hard, soft, total, free, groq, gemini (-1: off);
--       what the call adds: free, groq, gemini, unpriced, cost.
-- Answers 0 not of this generation, 1 unknown day, 2 admitted, 3 admitted and degraded,
-- 10 + n refused by cap n, 20 + n refused by cap n only because of what is reserved.
local state, leases, ends = KEYS[1], KEYS[2], KEYS[3]
local day = ARGV[2]
local known = redis.call('HMGET', state, 'generation', 'open', day .. ':version',
  day .. ':calls_total', day .. ':calls_openrouter_free', day .. ':calls_groq',
  day .. ':calls_gemini', day .. ':cost',
  day .. ':reserved_calls_total', day .. ':reserved_calls_openrouter_free',
  day .. ':reserved_calls_groq', day .. ':reserved_calls_gemini', day .. ':reserved_cost')
-- A key that was deleted or evicted makes the count differ: nothing here is believed any more.
local open = tonumber(known[2])
if known[1] ~= ARGV[1] or redis.call('HLEN', leases) ~= open
  or redis.call('ZCARD', ends) ~= open then
  return 0
end
if not known[3] then return 1 end

local settled = { tonumber(known[8]), tonumber(known[4]), tonumber(known[5]), tonumber(known[6]),
  tonumber(known[7]) }
local reserved = { tonumber(known[13]), tonumber(known[9]), tonumber(known[10]),
  tonumber(known[11]), tonumber(known[12]) }
local hard, soft = tonumber(ARGV[6]), tonumber(ARGV[7])
local cost = tonumber(ARGV[16])
local asked = { 1, tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]) }

local function refusal()
  if hard >= 0 then
    local least = settled[1] + cost
    if least + reserved[1] > hard or settled[1] >= hard then
      return (least <= hard and settled[1] < hard) and 20 or 10
    end
  end
  for n = 1, 4 do
    local cap = tonumber(ARGV[7 + n])
    if cap >= 0 and asked[n] > 0 and settled[n + 1] + reserved[n + 1] >= cap then
      return (settled[n + 1] < cap and 20 or 10) + n
    end
  end
end

local degraded = soft >= 0 and settled[1] >= soft
for n = 1, 4 do
  local cap = tonumber(ARGV[7 + n])
  if cap >= 0 and (settled[n + 1] + reserved[n + 1]) * 100 >= cap * 85 then degraded = true end
end
local admitted = degraded and 3 or 2

-- A repeat of what was admitted already.
if redis.call('HEXISTS', leases, ARGV[3]) == 1 then return admitted end
local refused = refusal()
if refused then return refused end

redis.call('HSET', leases, ARGV[3], ARGV[4])
redis.call('ZADD', ends, ARGV[5], ARGV[3])
redis.call('HINCRBY', state, 'open', 1)
redis.call('HINCRBY', state, day .. ':reserved_calls_total', 1)
if ARGV[16] ~= '0' then redis.call('HINCRBY', state, day .. ':reserved_cost', ARGV[16]) end
if ARGV[12] ~= '0' then redis.call('HINCRBY', state, day .. ':reserved_calls_openrouter_free', 1) end
if ARGV[13] ~= '0' then redis.call('HINCRBY', state, day .. ':reserved_calls_groq', 1) end
if ARGV[14] ~= '0' then redis.call('HINCRBY', state, day .. ':reserved_calls_gemini', 1) end
if ARGV[15] ~= '0' then redis.call('HINCRBY', state, day .. ':reserved_calls_unpriced', 1) end
return admitted
