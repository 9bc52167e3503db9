-- Reads edges that wait for a verdict, those of the oldest tasks first.
--
-- ARGV[5]   at most so many
-- Returns   three for each: task, dependency, condition
local failure = begin()
if failure then
  return failure
end
local reply = {}
for _, member in ipairs(call('ZRANGE', UNJUDGED, 0, ARGV[5] - 1)) do
  local id, position = match(member, '^(%S+) (%d+)$')
  local edge = id and call('HGET', base .. 'e:' .. id, position)
  local state, _, dependency, condition = match(edge or '', EDGE)
  if UNJUDGED_EDGE[state] then
    local size = #reply
    reply[size + 1] = id
    reply[size + 2] = dependency
    reply[size + 3] = condition
  else
    call('ZREM', UNJUDGED, member)
  end
end
return reply
