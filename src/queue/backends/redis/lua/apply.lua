-- Writes changes by compare-and-set, each for itself, and what their endings decide for other tasks.
--
-- ARGV[5…]  four for each change: id · `version status runAt lease`: the version it was decided on, and the end of the
--           lease ('-' none, `+ms` from now by the clock of Redis) · the rest of the state · the line of its event.
--           A version with '+': the task was held ahead and claimed before, in the same step; the claim's line comes first
--           After a line break what few changes have, a line each: `on dependency condition` of the edges that the task
--           waits for from now on
-- Returns   the time by Redis where it was asked (else 0), then for each change 0 (stale or gone), or how many
--           events the task has had, or a list: that, released, skipped, unjudged, blockers
-- Guarantee a task is written whole, with its event, its place and its dependents; sent again, all answers are the same
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
end

local STEP, FIRST = 4, 5
local WANTED = '^(%d+)(%+?) (%l) (%S+) (%S+)\n?(.*)$'
local ids = {}
for i = FIRST, #ARGV, STEP do
  ids[#ids + 1] = ARGV[i]
end
local names = {}
for i = 1, #ids do
  names[i] = '=' .. ids[i]
end
local unseen = {}
for i, text in ipairs(fetch(TASKS, names)) do
  stateTexts[ids[i]] = text
  if not text then
    unseen[#unseen + 1] = ids[i]
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

-- Whether a change respects who holds the task ahead: it claims with the reserved fence, or does not claim.
local function respects(task, holder, isClaim, rest)
  return not holder or not isClaim or fenceOf(rest) == fenceOf(restOf(task)) + 1
end

-- Whoever else writes a held task ends the hold, and uses up the fence that its holder may have given.
local function takeAway(task, holder, rest)
  local key = base .. 'dropped:' .. int(holder)
  call('RPUSH', key, task.id)
  call('PEXPIRE', key, 600000)
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
  local ended = {}
  add(task.st, 1)
  task.isArriving = true
  skip(task, reason, effects, ended)
  task.isArriving = nil
  settleDependents(ended, effects)
end

local function change(task, st, runAt, lease, rest, event, isHeld, edges)
  local before = task.st
  local hasEnded = OVER[st] and not OVER[before]
  local stays = not isHeld and not edges and WAITING[before] and WAITING[st] and (task.blocked > 0 or tonumber(runAt) == tonumber(task.runAt))
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

-- Most changes end a task that was claimed once and that nobody depends on: such need no table of their own.
local CLAIMED_ONCE = '^(%d+) (%d+) ([ai]) %S+ 0 (%d+) 0 %S+ %d+ %S+ %S+ %S+ %- %- [^\n]*\n()'
local texts, scores, ends, lastEnd, lastScore = {}, {}, {}, nil, nil

local function ended(id, before, st, completed, text)
  if completed ~= lastEnd or not lastEnd then
    lastEnd, lastScore = completed, int(ENDED + (tonumber(completed) or now))
  end
  local count = #texts
  texts[count + 1] = '=' .. id
  texts[count + 2] = text
  scores[count + 1] = lastScore
  scores[count + 2] = id
  -- A second change of the same task in this script finds it changed.
  stateTexts[id] = text
  local moved = before .. st
  ends[moved] = (ends[moved] or 0) + 1
end

local function endClaimed(id, version, st, runAt, rest, event)
  local text = stateTexts[id]
  local v, e, before, place, at = match(text, CLAIMED_ONCE)
  if v ~= version then
    return nil
  end
  e = e + 1
  if e > HISTORY_EVENTS_MAX then
    return nil
  end
  local state = (v + 1) .. ' ' .. e .. ' ' .. st .. ' ' .. runAt .. ' 0 ' .. place .. ' 0 - ' .. rest .. sub(text, at) .. event
  ended(id, before, st, match(rest, '^%d+ %S+ (%d+) '), state)
  return e
end

-- A task that was held as it was submitted, claimed and ended.
local function endHeld(id, version, st, runAt, rest, event)
  local score = agendaScores[id]
  local fence, completed = match(rest, '^(%d+) %S+ (%d+) ')
  if version ~= '1' or fence ~= '1' or not score or score < HELD then
    return nil
  end
  agendaScores[id] = false
  ended(id, 'p', st, completed, '3 3 ' .. st .. ' ' .. runAt .. ' 0 0 0 - ' .. rest .. event)
  return 3
end

local function endQuickly(id, version, isClaimed, st, runAt, rest, event)
  if not OVER[st] or event == '' or loaded[id] then
    return nil
  elseif isClaimed then
    return not stateTexts[id] and endHeld(id, version, st, runAt, rest, event)
  end
  return stateTexts[id] and endClaimed(id, version, st, runAt, rest, event)
end

local function answerOf(task, effects)
  if not effects and task.blocked == 0 then
    return task.e
  end
  local blockers = task.blocked > 0 and blockersOf(task.id) or ''
  if not effects then
    return { task.e, {}, {}, 0, blockers }
  end
  return { task.e, effects.released, effects.skipped, effects.unjudged and 1 or 0, blockers }
end

local results, isChanged = { 0 }, false
for i, id in ipairs(ids) do
  local at = FIRST + (i - 1) * STEP
  local rest, event = ARGV[at + 2], ARGV[at + 3]
  local version, claimed, st, runAt, lease, extras = match(ARGV[at + 1], WANTED)
  local isClaimed = claimed == '+'
  local events = extras == '' and endQuickly(id, version, isClaimed, st, runAt, rest, event)
  if events then
    results[i + 1] = events
  else
    local task = load(id)
    local isCurrent = task and task.v == tonumber(version)
    local holder = isCurrent and holderOf(task)
    local isClaim = isClaimed or LEASED[st]
    if not isCurrent or not respects(task, holder, isClaim, rest) then
      results[i + 1] = 0
    else
      isChanged = true
      if holder and not isClaim then
        rest = takeAway(task, holder, rest)
      end
      if isClaimed then
        event = addClaim(task, event)
      end
      local edges = extras ~= '' and st == 'p' and edgesOf(extras) or nil
      results[i + 1] = answerOf(task, change(task, st, runAt, lease, rest, event, holder, edges))
    end
  end
end
results[1] = clock or 0

if #texts > 0 or isChanged then
  for moved, count in pairs(ends) do
    add(sub(moved, 1, 1), -count)
    add(sub(moved, 2), count)
    countEnd(sub(moved, 2), now, count)
  end
  spread('HSET', TASKS, texts, 2)
  spread('ZADD', AGENDA, scores, 2)
  save()
  tell('updated')
  finish(cmsgpack.pack(results))
end
return results
