-- What a set of sums has used and reserved.
-- KEYS: state. ARGV: generation, set, names of its sums.
-- Returns version, then per sum settled and reserved; nothing for an unknown set; false if the state is
-- not of this generation.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return false end
local set = ARGV[2]
local names = { set .. ':version' }
for n = 3, #ARGV do
  names[#names + 1] = set .. ':' .. ARGV[n]
  names[#names + 1] = set .. ':reserved_' .. ARGV[n]
end
local known = redis.call('HMGET', KEYS[1], unpack(names))
if not known[1] then return {} end
for n = 2, #names do known[n] = known[n] or '0' end
return known
