-- What a day has used and reserved.
-- KEYS: state. ARGV: generation, day.
-- Returns version, six sums settled, six reserved; nothing for an unknown day; false if the state is
-- not of this generation.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return false end
local day = ARGV[2]
if redis.call('HEXISTS', KEYS[1], day .. ':version') == 0 then return {} end
return redis.call('HMGET', KEYS[1], day .. ':version',
  day .. ':calls_total', day .. ':calls_openrouter_free', day .. ':calls_groq',
  day .. ':calls_gemini', day .. ':calls_unpriced', day .. ':cost',
  day .. ':reserved_calls_total', day .. ':reserved_calls_openrouter_free',
  day .. ':reserved_calls_groq', day .. ':reserved_calls_gemini',
  day .. ':reserved_calls_unpriced', day .. ':reserved_cost')
