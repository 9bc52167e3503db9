-- Reads the tasks whose alarm rings, the earliest first.
--
-- ARGV[5]   at most so many
-- Returns   four for each: id, `t`, `s`, blockers
local failure = begin()
if failure then
  return failure
end
local ringing = sound('ZRANGEBYSCORE', ALARMS, '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, ARGV[5])
local ids, reply = {}, {}
for i = 1, #ringing, 2 do
  ids[#ids + 1] = ringing[i]
end
local texts = fetchBoth(ids)
for i, id in ipairs(ids) do
  local text, state = texts[2 * i - 1], texts[2 * i]
  local at = tonumber(match(parse(id, state or '').lease, '^!(%S+)$') or nil)
  if text and at and ceil(at) == tonumber(ringing[2 * i]) then
    pushRecord(reply, id, text, state)
  else
    -- What nobody has must not be found again and again.
    sound('ZREM', ALARMS, id)
  end
end
return reply
