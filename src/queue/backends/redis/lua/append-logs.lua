-- Adds to the logs of tasks, each for itself.
--
-- ARGV[5…]  three for each: id · the fence under which its writer leased it · pages, see `logs.lua`
-- Returns   1 for each that was added, 0 where the task is not leased with that fence
-- Guarantee sent again, it adds nothing and answers the same
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
end
local results = {}
for i = 5, #ARGV, 3 do
  local task = load(ARGV[i])
  local isHeld = task and LEASED[task.st] and match(restOf(task), '^%d+') == ARGV[i + 1]
  if isHeld then
    appendLog(ARGV[i], task.e, ARGV[i + 2])
    tell('updated')
  end
  results[#results + 1] = isHeld and 1 or 0
end
finish(cmsgpack.pack(results))
return results
