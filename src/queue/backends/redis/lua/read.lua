-- Reads tasks.
--
-- ARGV[5…]  ids
-- Returns   four for each task that is there: id, `t`, `s`, blockers
local failure = begin()
if failure then
  return failure
end
local ids = {}
for i = 5, #ARGV do
  ids[#ids + 1] = ARGV[i]
end
return pushRecords({}, ids)
