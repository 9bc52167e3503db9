-- What `grant.lua` and `first-claim.lua` need, before the frame of the other scripts is made: that takes long.
local call, match, sub, format, find = redis.call, string.match, string.sub, string.format, string.find
local base = sub(KEYS[1], 1, -2)
local now

local function int(number)
  return format('%d', number)
end
