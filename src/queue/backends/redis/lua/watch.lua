-- Tells that a store object listens for news, so that others publish theirs; or no longer.
--
-- ARGV[5]   for so many ms from now; 0: no longer
local failure = begin()
if failure then
  return failure
end
local kept = {}
for object, untilTime in string.gmatch(counters.watchers or '', '(%S+)=(%d+)') do
  if object ~= ARGV[2] and tonumber(untilTime) > now then
    kept[#kept + 1] = object .. '=' .. untilTime
  end
end
if tonumber(ARGV[5]) > 0 then
  kept[#kept + 1] = ARGV[2] .. '=' .. int(now + tonumber(ARGV[5]))
end
fields.watchers = table.concat(kept, ' ')
finish()
return serverNow()
