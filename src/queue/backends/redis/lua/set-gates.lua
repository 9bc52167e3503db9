-- Sets what is given of gates.
--
-- ARGV[5…]  five for each: key, max and rate ('-' none), paused (1 or 0), the end of a closing; '_' leaves as it is
-- Guarantee once this has answered, no claim passes a gate that it shut. May be sent twice
local failure = begin()
if failure then
  return failure
end
for i = 5, #ARGV, 5 do
  gates.set(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
gates.save()
tell('new')
finish()
return 1
