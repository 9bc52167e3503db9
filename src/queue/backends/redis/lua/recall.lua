-- What was granted and not heard of (see `grant.lua`) is heard of no more: whoever asks takes it back.
--
-- ARGV[5…]  two for each: a store object, the id it was granted
-- Returns   the ids that it has not said it heard of
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
end
local granted, unheard = base .. 'granted', {}
for at = 5, #ARGV, 2 do
  if sound('HGET', granted, ARGV[at]) == ARGV[at + 1] then
    call('HDEL', granted, ARGV[at])
    unheard[#unheard + 1] = ARGV[at + 1]
  end
end
finish(#unheard > 0 and cmsgpack.pack(unheard) or nil)
return unheard
