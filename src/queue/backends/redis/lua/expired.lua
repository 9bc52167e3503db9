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
  local texts, states = fetch(TASKS, ids), fetch(STATES, ids)
  pushRecords(reply, ids, texts, states)
  -- What holds no lease, by damage, must not be found again and again.
  for i, id in ipairs(ids) do
    if not texts[i] or not LEASED[parse(id, states[i] or '').st] then
      call('ZREM', AGENDA, id)
    end
  end
end
return reply
