-- Counts the nodes that may hold tasks ahead.
local failure = begin()
if failure then
  return failure
end
expireNodes()
finish()
local count = 0
for _ in pairs(nodes) do
  count = count + 1
end
return count
