-- Writes changes by compare-and-set, each for itself, and what their endings decide for other tasks.
--
-- ARGV[5…]  two for each change: id · the rest of the state; and before the first, and wherever it is another, what is
--           common to those that follow: a line break, `version status runAt lease`, a line break, the line of the
--           event. The version is the one it was decided on, the lease is '-' for none or `+ms` from now by the clock
--           of Redis, runAt is '=' where it stays as it is. A version with '+': the task was held ahead and claimed
--           before, in the same step; the claim's line comes first. Before an id, what few changes have, after a tab, a line each: `on dependency condition` of
--           the edges that the task waits for from now on, `w key weight` of limits whose reserved weight was wrong, and
--           `k key time` of those to close; before that, for the task's log, what `logs.lua` takes after a vertical tab
-- Returns   the time by Redis where it was asked (else 0), then for each change 0 (stale or gone), or how many
--           events the task has had, or a list: that, released, skipped, unjudged, blockers; last `areGatesOpened`
-- Guarantee a task is written whole, with its event, its place and its dependents; sent again, all answers are the same
-- `apply-quick.lua` has begun.
local ids, names, rests, commons, extras, logs = begun.ids, begun.names, begun.rests, begun.commons, begun.extras, begun.logs
local results, texts, scores, leaving = begun.results, begun.texts, begun.scores, begun.leaving
local endClaimed = begun.endClaimed
stateTexts = begun.found
local unseen = {}
for _, id in ipairs(ids) do
  if not stateTexts[id] then
    unseen[#unseen + 1] = id
  end
end
-- Tasks that never ran: most are held ahead by a node, which claims them.
for from = 1, #unseen, VALUES_MAX do
  for i, score in ipairs(call('ZMSCORE', AGENDA, unpack(unseen, from, min(from + VALUES_MAX - 1, #unseen)))) do
    agendaScores[unseen[from + i - 1]] = tonumber(score or nil) or false
  end
end

local function fenceOf(rest)
  return tonumber(match(rest, '^%d+') or nil)
end

-- Whether a change respects who holds the task ahead: it claims with the reserved fence, or does not claim. Who was given
-- up stands in the places of its limits no more.
local function respects(task, holder, isClaim, rest)
  if not isClaim or not WAITING[task.st] then
    return true
  elseif not holder then
    return limitsOf(task) == ''
  end
  return fenceOf(rest) == fenceOf(restOf(task)) + 1
end

-- Whoever else writes a held task ends the hold, and uses up the fence that its holder may have given.
local function takeAway(task, holder, rest)
  local key = base .. 'dropped:' .. int(holder)
  call('RPUSH', key, task.id)
  call('PEXPIRE', key, 600000)
  tell('new')
  return int(max(fenceOf(rest), fenceOf(restOf(task)) + 1)) .. match(rest, '^%d+(.*)$')
end

local function addClaim(task, lines)
  local claim, rest = match(lines, '^(.-\n)(.*)$')
  addEvent(task, claim)
  task.v = task.v + 1
  return rest
end

-- Where the task stands now, behind new edges if there are some; what is against it at once skips it.
local function settle(task, edges, completed, effects)
  local reason = edges and link(task, edges, effects)
  if not reason then
    return enter(task, completed)
  end
  local skipped = {}
  add(task.st, 1)
  task.isArriving = true
  skip(task, reason, effects, skipped)
  task.isArriving = nil
  settleDependents(skipped, effects)
end

-- What the task's new status means to the gates of its limits. It stood in its places while it was held, too.
local function moveThroughGates(task, before, wasHeld)
  local keys = turns.keysOf(task.limits)
  if (LEASED[before] or wasHeld) and not LEASED[task.st] then
    gates.leave(keys, 1)
  end
  if OVER[before] ~= OVER[task.st] then
    gates.moveTasks(keys, OVER[task.st] and -1 or 1)
  end
end

-- What a start weighed in truth, and until when nothing may pass.
local function correct(task, lines)
  identify(task)
  local reserved = gates.weightsOf(turns.keysOf(limitsOf(task)), taskTexts[task.id] or '')
  local started = tonumber(match(restOf(task), '^%S+ (%S+)') or nil) or now
  for what, key, value in string.gmatch(lines, '([wk]) (%S+) (%S+)\n') do
    if what == 'k' then
      gates.close(key, tonumber(value))
    elseif reserved[key] then
      gates.correct(key, started, tonumber(value) - reserved[key])
    end
  end
end

local function change(task, st, runAt, lease, rest, event, isHeld, edges)
  local before = task.st
  local hasEnded = OVER[st] and not OVER[before]
  local stays = not isHeld and not edges and WAITING[before] and WAITING[st] and (task.blocked > 0 or runAt == task.runAt or tonumber(runAt) == runAtOf(task))
  if stays then
    add(before, -1)
    add(st, 1)
  else
    leave(task)
  end
  if event ~= '' then
    addEvent(task, event)
  else
    task.hist = histOf(task)
  end
  if sub(lease, 1, 1) == '+' then
    lease = int(serverNow() + tonumber(sub(lease, 2)))
  end
  task.v, task.st, task.runAt, task.rest = task.v + 1, st, runAt, rest
  setLease(task, lease)
  if limitsOf(task) ~= '' then
    moveThroughGates(task, before, isHeld)
  end
  local effects = edges and newEffects()
  if (OVER[st] or edges) and task.blocked > 0 then
    dropEdges(task)
  end
  if not stays then
    settle(task, edges, OVER[st] and tonumber(match(rest, '^%S+ %S+ (%S+)') or nil), effects)
  end
  write(task)
  if hasEnded then
    countEnd(st, now)
    if task.links == '1' then
      effects = newEffects()
      settleDependents({ task }, effects)
    end
  end
  return effects
end

local function endQuickly(id, name, common, rest)
  if not OVER[common.st] or common.event == '' or common.isClaimed or loaded[id] then
    return nil
  end
  return stateTexts[id] and endClaimed(id, name, common, rest)
end

local isChanged = false

-- How a change that is not of the usual kind is answered.
local function changeAny(id, common, rest, lines)
  local task = load(id)
  local isCurrent = task and task.v == tonumber(common.version)
  local holder = isCurrent and holderOf(task)
  local isClaim = common.isClaimed or LEASED[common.st]
  if not isCurrent or not respects(task, holder, isClaim, rest) then
    return 0
  end
  isChanged = true
  if holder and not isClaim then
    rest = takeAway(task, holder, rest)
  end
  local event = common.isClaimed and addClaim(task, common.event) or common.event
  local edges = lines and common.st == 'p' and edgesOf(lines) or nil
  if lines then
    correct(task, lines)
  end
  local runAt = common.runAt == '=' and task.runAt or common.runAt
  local effects = change(task, common.st, runAt, common.lease, rest, event, holder, edges)
  if not effects and task.blocked == 0 then
    return task.e
  end
  local released, skipped, unjudged = {}, {}, 0
  if effects then
    released, skipped, unjudged = effects.released, effects.skipped, effects.unjudged and 1 or 0
  end
  return { task.e, released, skipped, unjudged, task.blocked > 0 and blockersOf(id) or '' }
end

for i = begun.usual + 1, #ids do
  local id = ids[i]
  local result = not extras[i] and endQuickly(id, names[i], commons[i], rests[i]) or changeAny(id, commons[i], rests[i], extras[i])
  if logs[i] and result ~= 0 then
    local events = type(result) == 'table' and result[1] or result
    appendLog(id, commons[i].event == '' and events or events - 1, logs[i])
  end
  results[i + 1] = result
end
results[1], results[#ids + 2] = clock or 0, 0

if #texts > 0 or isChanged then
  begun.countEnds()
  if next(leaving) then
    gates.leaveAll(leaving)
  end
  spread('HSET', TASKS, texts, 2)
  spread('ZADD', AGENDA, scores, 2)
  save()
  results[#ids + 2] = areGatesOpened()
  tell('updated')
  finish(cmsgpack.pack(results))
end
return results
