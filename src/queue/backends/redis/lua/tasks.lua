-- Tasks as they lie in Redis.
--
-- One hash, `t`, holds two texts of each task:
-- id -> `seq rank createdAt runAt lane weights` \n hash \n submission; runAt is '=' where it equals createdAt
-- =id -> `version events status runAt blocked place links lease` `fence started completed owner rLen dLen
--   retryCount crashes rChars dChars` \n result details history; one line, '-' is null, lengths in bytes; runAt is
--   '=' where it is as submitted.
--   Without an entry a task is as it was submitted: pending, version 1, one event.
-- `lease` is when it ends, or `!` and when an alarm rings.
-- `place` counts how often the task has left its lane other than by a claim from there: entries of a lane carry it,
-- and one with another number is not valid any more. `links` is 1 where others depend on the task.
local STATE = '^(%d+) (%d+) (%l) (%S+) (%d+) (%d+) ([01])(%S*) (%S+) ()%d+ %S+ %S+ %S+ (%S+) (%S+) [^\n]*\n()'
local IDENTITY = '^(%d+) (%S+) (%S+) (%S+) (%S*)[^\n]*\n'
-- An undecided edge, see `edges.lua`.
local EDGE = '^([ujUJ])([sfcx]) (%S+) ?(%S*)$'
local NEVER_RAN = '0 - - - - - 0 0 0 0\n'
local WAITING = { p = true, r = true }
local LEASED = { a = true, i = true }

-- The texts of tasks: of each id its identity, then its state, false where there is none.
local function fetchBoth(ids)
  local names = {}
  for i = 1, #ids do
    names[2 * i - 1] = ids[i]
    names[2 * i] = '=' .. ids[i]
  end
  return fetch(TASKS, names)
end

local loaded, stateTexts, taskTexts, written, agenda, unscheduled = {}, {}, {}, {}, {}, {}

-- Reads seq, rank, creation and lane. What cannot be read is sorted in first, so that policy finds the damage soon.
local function identify(task)
  if task.lane then
    return
  end
  local text = taskTexts[task.id]
  if text == nil then
    text = call('HGET', TASKS, task.id)
    taskTexts[task.id] = text
  end
  local seq, rank, createdAt, runAt, lane = match(text or '', IDENTITY)
  if not seq or not tonumber(rank) then
    seq, rank, createdAt, runAt, lane = '0', '0', '0', '=', '5||'
  end
  task.seq, task.rank, task.createdAt, task.lane = seq, rank, createdAt, lane
  task.submittedRunAt = runAt == '=' and createdAt or runAt
end

-- A state that cannot be read is taken for failed: it is not run, and can be redriven.
local function parse(id, text)
  local v, e, st, runAt, blocked, place, links, limits, lease, from, r, d, at = match(text, STATE)
  if not v then
    return { id = id, v = 0, e = 0, st = 'f', runAt = '0', blocked = 0, place = 0, links = '0', lease = '-',
      rest = NEVER_RAN, hist = '', isDamaged = true }
  end
  return { id = id, v = tonumber(v), e = tonumber(e), st = st, runAt = runAt, blocked = tonumber(blocked),
    place = tonumber(place), links = links, limits = limits, lease = lease, text = text, from = from,
    to = at + (tonumber(r) or 0) + (tonumber(d) or 0) - 1 }
end

local function fresh(id)
  local task = { id = id, v = 1, e = 1, st = 'p', runAt = '=', blocked = 0, place = 0, links = '0', lease = '-', rest = NEVER_RAN, hist = '' }
  return task
end

-- The task as it stands at this point of the script; nil for one that is not there.
local function load(id)
  local task = loaded[id]
  if task then
    return task
  end
  local text = stateTexts[id]
  if text == nil then
    text = call('HGET', TASKS, '=' .. id)
  end
  if text then
    task = parse(id, text)
  else
    if taskTexts[id] == nil then
      taskTexts[id] = call('HGET', TASKS, id)
    end
    if not taskTexts[id] then
      return nil
    end
    task = fresh(id)
  end
  loaded[id] = task
  return task
end

local function runAtOf(task)
  if task.runAt ~= '=' then
    return tonumber(task.runAt) or 0
  end
  identify(task)
  return tonumber(task.submittedRunAt) or 0
end

local function restOf(task)
  return task.rest or sub(task.text, task.from, task.to)
end

local function histOf(task)
  return task.hist or sub(task.text, task.to + 1)
end

-- The newest events are kept; the first, the submission, is not written down.
local function addEvent(task, line)
  local hist = histOf(task)
  if task.e > HISTORY_EVENTS_MAX then
    hist = sub(hist, (find(hist, '\n', 1, true) or 0) + 1)
  end
  task.hist = hist .. line
  task.e = task.e + 1
end

-- The keys of the limits a task stays under, `;key,key`; empty for most.
local function limitsOf(task)
  if not task.limits then
    identify(task)
    local quota = turns.quotaOf(task.lane)
    task.limits = quota and quota.limits or ''
  end
  return task.limits
end

local function textOf(task)
  return task.v .. ' ' .. task.e .. ' ' .. task.st .. ' ' .. task.runAt .. ' ' .. task.blocked .. ' ' .. task.place
    .. ' ' .. task.links .. limitsOf(task) .. ' ' .. task.lease .. ' ' .. restOf(task) .. histOf(task)
end

local function write(task)
  if not task.isWritten then
    task.isWritten = true
    written[#written + 1] = task
  end
end

local MINUTES_KEPT = 60

local function pruneMinutes(newest)
  for _, known in ipairs(call('HKEYS', base .. 'minutes')) do
    if not tonumber(known) or tonumber(known) < newest - MINUTES_KEPT then
      call('HDEL', base .. 'minutes', known)
    end
  end
end

local function writeEndings()
  for minute, ends in pairs(endings) do
    local text = fields.minute or counters.minute or ''
    local current = tonumber(match(text, MINUTE) or nil) or minute
    if minute >= current then
      if minute > current then
        call('HSET', base .. 'minutes', int(current), text)
        pruneMinutes(minute)
      end
      fields.minute = addEnds(text, ends)
    else
      call('HSET', base .. 'minutes', ends[1], addEnds(call('HGET', base .. 'minutes', ends[1]), ends))
    end
  end
end

-- Writes every task that changed, and where it stands in the agenda.
local function save()
  local values = {}
  for i, task in ipairs(written) do
    values[2 * i - 1] = '=' .. task.id
    values[2 * i] = textOf(task)
  end
  spread('HSET', TASKS, values, 2)
  local scores, gone = {}, {}
  for id, score in pairs(agenda) do
    scores[#scores + 1] = score
    scores[#scores + 1] = id
  end
  spread('ZADD', AGENDA, scores, 2)
  for id in pairs(unscheduled) do
    if not agenda[id] then
      gone[#gone + 1] = id
    end
  end
  spread('ZREM', AGENDA, gone)
  writeEndings()
  if rawget(gates, 'byKey') then
    gates.save()
  end
end

local function schedule(id, score)
  agenda[id] = int(score)
end

local function unschedule(id)
  agenda[id] = nil
  unscheduled[id] = true
end

-- The undecided edges of a task as `position dependency …`.
local function blockersOf(id)
  local all, parts = call('HGETALL', base .. 'e:' .. id), {}
  for i = 1, #all, 2 do
    local _, _, dependency = match(all[i + 1], EDGE)
    parts[#parts + 1] = all[i] .. ' ' .. (dependency or '?')
  end
  return table.concat(parts, ' ')
end
