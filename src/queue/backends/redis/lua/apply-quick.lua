-- The usual settlements: ends of tasks that were claimed once, and that nobody depends on. They need none of the
-- functions that come after this, the making of which costs more than such a call. Changes are read here for all;
-- `apply.lua` goes on with the first that is of another kind.
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
end

local COMMON = '^\n(%d+)(%+?) (%l) (%S+) (%S+)\n(.*)$'
local ids, rests, commons, extras, logs = {}, {}, {}, {}, {}

local function readChanges()
  local common
  local at = 5
  while at <= #ARGV do
    if byte(ARGV[at]) == 10 then
      local version, claimed, st, runAt, lease, event = match(ARGV[at], COMMON)
      common = { version = version, isClaimed = claimed == '+', st = st, runAt = runAt, lease = lease, event = event }
      at = at + 1
    end
    local count = #ids + 1
    if byte(ARGV[at]) == 11 then
      logs[count] = sub(ARGV[at], 2)
      at = at + 1
    end
    if byte(ARGV[at]) == 9 then
      extras[count] = sub(ARGV[at], 2)
      at = at + 1
    end
    ids[count], rests[count], commons[count] = ARGV[at], ARGV[at + 1], common
    at = at + 2
  end
end

readChanges()
local names, found = {}, {}
for i = 1, #ids do
  names[i] = '=' .. ids[i]
end
for i, text in ipairs(fetch(TASKS, names)) do
  found[ids[i]] = text
end

-- Most changes end a task that was claimed once and that nobody depends on: such need no table of their own, and
-- those that were claimed together have the same state, but for their limits.
local CLAIMED_ONCE = '^(%d+) (%d+) ([ai]) (%S+) 0 (%d+) 0() %S+ %d+ %S+ %S+ %S+ %- %- [^\n]*\n()'
local COMPLETED = '^%d+ %S+ (%d+) '
local claimedOnce, scoresOfEnds = {}, {}
local texts, scores, ends, leaving = {}, {}, {}, {}

local function readClaimed(text)
  local version, e, before, runAt, place, limitsAt, at = match(text, CLAIMED_ONCE)
  local known = { version = version, runAt = runAt, limitsAt = limitsAt }
  if version and e + 1 <= HISTORY_EVENTS_MAX then
    known.v, known.e, known.before, known.place, known.hist = version + 1, e + 1, before, place, sub(text, at)
  end
  claimedOnce[text] = known
  return known
end

local function ended(id, name, before, st, rest, text)
  local completed = match(rest, COMPLETED) or now
  local score = scoresOfEnds[completed]
  if not score then
    score = int(ENDED + completed)
    scoresOfEnds[completed] = score
  end
  local count = #texts
  texts[count + 1] = name
  texts[count + 2] = text
  scores[count + 1] = score
  scores[count + 2] = id
  -- A second change of the same task in this script finds it changed.
  found[id] = text
  local moved = before .. st
  ends[moved] = (ends[moved] or 0) + 1
end

-- What a state has in common with those of tasks under other limits, and its limits.
local function withoutLimits(text)
  local from = find(text, ';', 1, true)
  local to = from and find(text, ' ', from, true)
  if not to then
    return text, ''
  end
  local shared = sub(text, 1, from - 1) .. sub(text, to)
  local known = claimedOnce[shared] or readClaimed(shared)
  -- Others may have a semicolon elsewhere.
  if known.limitsAt ~= from then
    return text, ''
  end
  return shared, sub(text, from, to - 1)
end

local function endClaimed(id, name, common, rest)
  local text, limits = withoutLimits(found[id])
  local known = claimedOnce[text] or readClaimed(text)
  if not known.v or known.version ~= common.version then
    return nil
  end
  if known.common ~= common then
    known.common = common
    local runAt = common.runAt == '=' and known.runAt or common.runAt
    known.head = known.v .. ' ' .. known.e .. ' ' .. common.st .. ' ' .. runAt .. ' 0 ' .. known.place .. ' 0'
    known.tail = known.hist .. common.event
  end
  if limits ~= '' then
    leaving[limits] = (leaving[limits] or 0) + 1
  end
  ended(id, name, known.before, common.st, rest, known.head .. limits .. ' - ' .. rest .. known.tail)
  return known.e
end

local results, usual = { clock or 0 }, 0
for i, id in ipairs(ids) do
  local common = commons[i]
  local isEnd = OVER[common.st] and common.event ~= '' and not common.isClaimed
  local result = isEnd and found[id] and not extras[i] and not logs[i] and endClaimed(id, names[i], common, rests[i])
  if not result then
    break
  end
  usual, results[i + 1] = i, result
end

local function countEnds()
  for moved, count in pairs(ends) do
    add(sub(moved, 1, 1), -count)
    add(sub(moved, 2), count)
    countEnd(sub(moved, 2), now, count)
  end
  ends = {}
end

if usual == #ids and match(counters.minute or '', '^%d+') == int(floor(now / 60000)) then
  countEnds()
  for _, counted in pairs(endings) do
    fields.minute = addEnds(counters.minute, counted)
  end
  spread('HSET', TASKS, texts, 2)
  spread('ZADD', AGENDA, scores, 2)
  leaveGates(leaving)
  results[#ids + 2] = areGatesOpened()
  tell('updated')
  finish(cmsgpack.pack(results))
  return results
end

-- For `apply.lua`, as one variable: a function may capture 60.
local begun = {
  ids = ids, names = names, rests = rests, commons = commons, extras = extras, logs = logs, found = found, results = results,
  usual = usual, texts = texts, scores = scores, leaving = leaving, endClaimed = endClaimed,
  countEnds = countEnds,
}
