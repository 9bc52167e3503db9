-- Counts the nodes that may hold tasks ahead.
--
-- ARGV[5]   '1': only those that were to give back what they hold, and have not yet
local failure = begin()
if failure then
  return failure
end
expireNodes()
finish()
local count = 0
for _, node in pairs(nodes) do
  if ARGV[5] ~= '1' or isRecalled(node.number) then
    count = count + 1
  end
end
return count
