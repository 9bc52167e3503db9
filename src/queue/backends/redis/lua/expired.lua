-- Reads the tasks whose lease is over, oldest lease first.
--
-- ARGV[5]   at most so many
-- Returns   four for each: id, `t`, `s`, blockers
local failure = begin()
if failure then
  return failure
end
local ids = call('ZRANGEBYSCORE', AGENDA, '-inf', int(min(now, DELAYED - 1)), 'LIMIT', 0, ARGV[5])
local reply = {}
if #ids > 0 then
  local texts = fetchBoth(ids)
  for i, id in ipairs(ids) do
    local text, state = texts[2 * i - 1], texts[2 * i]
    if text and LEASED[parse(id, state or '').st] then
      pushRecord(reply, id, text, state)
    else
      -- What holds no lease, by damage, must not be found again and again.
      call('ZREM', AGENDA, id)
    end
  end
end
return reply
