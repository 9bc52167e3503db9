-- Writes changes by compare-and-set, each for itself, and what their endings decide for other tasks.
--
-- ARGV[5…]  seven for each change: id, the version it was decided on, status, runAt, the end of the lease ('-' none,
--           `+ms` from now by the clock of Redis), the rest of the state with result and details, the line of its event.
--           A version with '+': the task was claimed before, in the same step; the line of the claim comes first
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

local STEP, FIRST = 7, 5
local ids = {}
for i = FIRST, #ARGV, STEP do
  ids[#ids + 1] = ARGV[i]
end
for i, text in ipairs(fetch(STATES, ids)) do
  stateTexts[ids[i]] = text
end

-- Whether a change respects who holds the task ahead: it claims with the reserved fence, or does not claim.
local function respects(task, at, holder, isClaimed)
  if not holder or not (isClaimed or LEASED[ARGV[at + 2]]) then
    return true
  end
  return tonumber(match(ARGV[at + 5], '^%d+')) == tonumber(match(restOf(task), '^%d+')) + 1
end

-- Whoever else writes a held task ends the hold, and uses up the fence that its holder may have given.
local function takeAway(task, at, holder)
  local fence, tail = match(ARGV[at + 5], '^(%d+)(.*)$')
  ARGV[at + 5] = int(max(tonumber(fence), tonumber(match(restOf(task), '^%d+')) + 1)) .. tail
  local key = base .. 'dropped:' .. int(holder)
  call('RPUSH', key, task.id)
  call('PEXPIRE', key, 600000)
end

local function change(task, at, holder, isClaimed)
  if holder and not (isClaimed or LEASED[ARGV[at + 2]]) then
    takeAway(task, at, holder)
  end
  local st, runAt, lease, rest, event = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local before = task.st
  local hasEnded = OVER[st] and not OVER[before]
  local stays = not holder and WAITING[before] and WAITING[st] and (task.blocked > 0 or tonumber(runAt) == tonumber(task.runAt))
  if stays then
    add(before, -1)
    add(st, 1)
  else
    leave(task)
  end
  if isClaimed then
    local claim, rest = match(event, '^(.-\n)(.*)$')
    addEvent(task, claim)
    task.v = task.v + 1
    event = rest
  end
  if event ~= '' then
    addEvent(task, event)
  else
    task.hist = histOf(task)
  end
  if sub(lease, 1, 1) == '+' then
    lease = int(serverNow() + tonumber(sub(lease, 2)))
  end
  task.v, task.st, task.runAt, task.lease, task.rest = task.v + 1, st, runAt, lease, rest
  if OVER[st] and task.blocked > 0 then
    dropEdges(task)
  end
  if not stays then
    enter(task, OVER[st] and tonumber(match(rest, '^%S+ %S+ (%S+)') or nil))
  end
  write(task)
  if hasEnded then
    countEnd(st, now)
    if task.links == '1' then
      local effects = newEffects()
      settleDependents({ task }, effects)
      return effects
    end
  end
end

local results, isChanged = { 0 }, false
for i, id in ipairs(ids) do
  local at = FIRST + (i - 1) * STEP
  local task = load(id)
  local version, claimed = match(ARGV[at + 1], '^(%d+)(%+?)$')
  local isClaimed = claimed == '+'
  local holder = task and task.v == tonumber(version) and holderOf(task)
  if not task or task.v ~= tonumber(version) or not respects(task, at, holder, isClaimed) then
    results[i + 1] = 0
  else
    isChanged = true
    local effects = change(task, at, holder, isClaimed)
    if effects or task.blocked > 0 then
      local _, released, skipped, unjudged = 0, {}, {}, 0
      if effects then
        released, skipped, unjudged = effects.released, effects.skipped, effects.unjudged and 1 or 0
      end
      results[i + 1] = { task.e, released, skipped, unjudged, task.blocked > 0 and blockersOf(id) or '' }
    else
      results[i + 1] = task.e
    end
  end
end
results[1] = clock or 0

if isChanged then
  save()
  tell('updated')
  finish(cmsgpack.pack(results))
end
return results
