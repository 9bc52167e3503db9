-- Who waits for whom.
--
-- `e:<id>`    the undecided edges of a task: position -> `u|j|U|J` `s|f|c|x` dependency condition
--             (u: the dependency has not ended, j: only a verdict can tell; capital where the first edge that holds is
--             enough · success, failure, completion, custom)
-- `d:<id>`    who depends on a task: a list of `dependent position`; entries are checked against `e:`
-- `unjudged`  `dependent position` by the dependent's sequence
-- `judging`   how many verdicts depend on the result of a task: it is not purged before
local UNJUDGED = base .. 'unjudged'
local ON_NAMES = { s = 'success', f = 'failure', c = 'completion', x = 'success' }
local END_NAMES = { c = 'completed', f = 'failed', x = 'cancelled', s = 'skipped' }
local ANY, UNJUDGED_EDGE = { U = true, J = true }, { j = true, J = true }

-- 'holds', 'fails' or 'unjudged': what an end decides for an edge.
local function verdictOf(on, status)
  if on == 'c' then
    return 'holds'
  elseif on == 's' then
    return status == 'c' and 'holds' or 'fails'
  elseif on == 'f' then
    return status == 'f' and 'holds' or 'fails'
  end
  return status == 'c' and 'unjudged' or 'fails'
end

local function skipReason(dependency, on, status)
  return '"dependency ' .. dependency .. ' is ' .. END_NAMES[status] .. ', ' .. ON_NAMES[on] .. ' was needed"'
end

local function judged(dependency)
  if call('HINCRBY', JUDGING, dependency, -1) <= 0 then
    call('HDEL', JUDGING, dependency)
  end
end

local function markUnjudged(task, position, dependency, condition, isAny)
  identify(task)
  call('HSET', base .. 'e:' .. task.id, position, (isAny and 'Jx ' or 'jx ') .. dependency .. ' ' .. condition)
  call('ZADD', UNJUDGED, task.seq, task.id .. ' ' .. position)
  call('HINCRBY', JUDGING, dependency, 1)
end

-- The task's own edges are void.
local function dropEdges(task)
  local key = base .. 'e:' .. task.id
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    local state, _, dependency = match(all[i + 1], EDGE)
    if UNJUDGED_EDGE[state] and call('ZREM', UNJUDGED, task.id .. ' ' .. all[i]) == 1 then
      judged(dependency)
    end
  end
  call('DEL', key)
  task.blocked = 0
end

local function skip(task, reason, effects, ended)
  if task.isArriving then
    add('p', -1)
  else
    leave(task)
  end
  dropEdges(task)
  task.st = 's'
  task.v = task.v + 1
  addEvent(task, 'ps' .. int(now) .. '[null,' .. reason .. ']\n')
  local fence, started, tail = match(restOf(task), '^(%d+) (%S+) %S+ %S+ (.*)$')
  task.rest = fence .. ' ' .. started .. ' ' .. int(now) .. ' - ' .. tail
  setLease(task, '-')
  enter(task, now)
  if limitsOf(task) ~= '' then
    gates.moveTasks(turns.keysOf(task.limits), -1)
  end
  countEnd('s', now)
  write(task)
  effects.skipped[#effects.skipped + 1] = task.id
  ended[#ended + 1] = task
end

-- One edge of the task holds; with the last of them it is released, or with the first where that is enough.
local function held(task, effects, isAny)
  if isAny then
    dropEdges(task)
    task.blocked = 1
  end
  local before = task.blocked
  task.blocked = max(0, before - 1)
  task.v = task.v + 1
  write(task)
  if task.blocked > 0 or task.isArriving then
    return
  end
  if before > 0 then
    add('blocked', -1)
  end
  add(task.st, -1)
  enter(task)
  if task.st == 'p' then
    effects.released[#effects.released + 1] = task.id
  end
end

-- One edge of the task fails: it is skipped, unless another one may still hold.
local function failed(task, position, reason, effects, ended, isAny)
  if not isAny or task.blocked <= 1 then
    return skip(task, reason, effects, ended)
  end
  call('HDEL', base .. 'e:' .. task.id, position)
  task.blocked = task.blocked - 1
  task.v = task.v + 1
  write(task)
end

-- Decides the edges to tasks that have ended, and to those this ends. A list, not recursion: chains are long.
local function settleDependents(ended, effects)
  local at = 1
  while ended[at] do
    local dependency = ended[at]
    at = at + 1
    if dependency.links == '1' then
      local key = base .. 'd:' .. dependency.id
      local entries = call('LRANGE', key, 0, -1)
      call('DEL', key)
      for _, entry in ipairs(entries) do
        local id, position = match(entry, '^(%S+) (%d+)$')
        local edge = id and call('HGET', base .. 'e:' .. id, position)
        local state, on, on_id, condition = match(edge or '', EDGE)
        local isAny = ANY[state]
        local task = (state == 'u' or state == 'U') and on_id == dependency.id and load(id)
        if task and not OVER[task.st] then
          local verdict = verdictOf(on, dependency.st)
          if verdict == 'unjudged' then
            markUnjudged(task, position, dependency.id, condition, isAny)
            effects.unjudged = true
          elseif verdict == 'fails' then
            failed(task, position, skipReason(dependency.id, on, dependency.st), effects, ended, isAny)
          else
            call('HDEL', base .. 'e:' .. id, position)
            held(task, effects, isAny)
          end
        end
      end
    end
  end
end

local function newEffects()
  return { released = {}, skipped = {}, unjudged = false }
end

-- Effects as a reply: released count, ids, skipped ids, and whether something is unjudged.
local function effectsReply(effects)
  return { effects.released, effects.skipped, effects.unjudged and 1 or 0 }
end

local function isQuiet(effects)
  return #effects.released == 0 and #effects.skipped == 0 and not effects.unjudged
end
