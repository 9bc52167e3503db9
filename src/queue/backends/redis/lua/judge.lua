-- Decides edges that wait for a verdict.
--
-- ARGV[5…]  five for each verdict: task, dependency, condition, 1 (holds) or 0, the reason as JSON
-- Returns   released ids, skipped ids, 1 when more verdicts are needed
-- Guarantee a verdict counts once; on any other edge it changes nothing
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
end

local effects, isChanged = newEffects(), false

local function judge(id, dependency, condition, holds, reason)
  local task = load(id)
  local wanted = 'x ' .. dependency .. ' ' .. condition
  local key = base .. 'e:' .. id
  local edges = task and not OVER[task.st] and task.blocked > 0 and call('HGETALL', key) or {}
  for i = 1, #edges, 2 do
    local state = sub(edges[i + 1], 1, 1)
    if UNJUDGED_EDGE[state] and sub(edges[i + 1], 2) == wanted and task.blocked > 0 and not OVER[task.st] then
      isChanged = true
      call('HDEL', key, edges[i])
      call('ZREM', UNJUDGED, id .. ' ' .. edges[i])
      judged(dependency)
      if holds == '1' then
        held(task, effects, ANY[state])
      else
        local ended = {}
        failed(task, edges[i], reason, effects, ended, ANY[state])
        settleDependents(ended, effects)
      end
    end
  end
end

for i = 5, #ARGV, 5 do
  judge(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
local reply = effectsReply(effects)
if isChanged then
  save()
  tell('updated')
  finish(cmsgpack.pack(reply))
end
return reply
