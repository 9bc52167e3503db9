-- Reads when the next thing falls due after now: a delayed task, an alarm, a gate that time alone opens.
--
-- Returns   that time, empty without one
local failure = begin()
if failure then
  return failure
end
local delayed = call('ZRANGEBYSCORE', AGENDA, '(' .. int(DELAYED + now), '(' .. int(ENDED), 'WITHSCORES', 'LIMIT', 0, 1)[2]
local first = delayed and tonumber(delayed) - DELAYED
for _, name in ipairs({ 'alarms', 'opens' }) do
  local at = tonumber(sound('ZRANGEBYSCORE', base .. name, '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or nil)
  if at and (not first or at < first) then
    first = at
  end
end
return { first and int(first) or '' }
