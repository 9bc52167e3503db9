-- New edges of a task, as a submission or a change gives them.

-- What stands against the task at once, by its edges to tasks that have ended, or are gone: why it is skipped, if it
-- is; false where one of them holds and that is enough; and the verdicts.
local function verdictsFor(edges)
  local reason, isOpen, verdicts = nil, false, {}
  for i, edge in ipairs(edges) do
    local dependency = load(edge.id)
    local status = dependency and dependency.st or 's'
    local verdict = OVER[status] and verdictOf(edge.on, status) or 'open'
    verdicts[i] = verdict
    if verdict == 'holds' and edge.isAny then
      return false, verdicts
    elseif verdict == 'fails' then
      reason = not edge.isAny and reason or skipReason(edge.id, edge.on, status)
    else
      isOpen = isOpen or edge.isAny
    end
  end
  return not isOpen and reason or nil, verdicts
end

-- Puts edges of a task in place; returns why it is skipped at once, if it is.
local function link(task, edges, effects)
  local reason, verdicts = verdictsFor(edges)
  if reason ~= nil then
    return reason
  end
  for i, edge in ipairs(edges) do
    local verdict, position = verdicts[i], i - 1
    if verdict == 'unjudged' then
      task.blocked = task.blocked + 1
      markUnjudged(task, position, edge.id, edge.condition, edge.isAny)
      effects.unjudged = true
    elseif verdict == 'open' then
      task.blocked = task.blocked + 1
      local state = (edge.isAny and 'U' or 'u') .. edge.on
      call('HSET', base .. 'e:' .. task.id, position, state .. ' ' .. edge.id .. ' ' .. edge.condition)
      call('RPUSH', base .. 'd:' .. edge.id, task.id .. ' ' .. position)
      local dependency = load(edge.id)
      if dependency.links ~= '1' then
        dependency.links = '1'
        write(dependency)
      end
    end
  end
end

-- Edges as they come in an argument, one a line, with '+' where the first that holds is enough; nothing without any.
local function edgesOf(lines)
  local edges
  for line in string.gmatch(lines, '[^\n]+') do
    local any, on, id, condition = match(line, '^(%+?)([sfcx]) (%S+) ?(%S*)$')
    if on then
      edges = edges or {}
      edges[#edges + 1] = { on = on, id = id, condition = condition, isAny = any == '+' }
    end
  end
  return edges
end
