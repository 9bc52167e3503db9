-- How tasks come into lanes (`lane-ends.lua`) and leave them, by where they stand.
local function appendTask(task)
  identify(task)
  append(openLane(gates.laneFor(task.lane)), task.rank, tonumber(task.rank), task.seq, tonumber(task.seq), task.id, task.place)
end

-- Puts each entry, in order, where it says.
local function appendEntries(entries)
  for _, entry in ipairs(entries) do
    append(openLane(entry.lane), entry.rank, tonumber(entry.rank), entry.seq, tonumber(entry.seq), entry.id, entry.place)
  end
  closeLanes()
end

local function pushOne(task)
  appendTask(task)
  closeLanes()
end

local function isReady(task)
  return WAITING[task.st] and task.blocked == 0
end

-- A list in which everything seems stale: it goes, unless something in it still holds.
local function sift(lane)
  local list, valid = base .. 'r:' .. lane, 0
  local entries = call('LRANGE', list, 0, -1)
  for _, entry in ipairs(entries) do
    local _, seq, id, place = match(entry, ENTRY)
    local task = id and load(id)
    if task then
      identify(task)
      if task.seq == seq and task.place == (tonumber(place) or 0) and isReady(task) then
        valid = valid + 1
      end
    end
  end
  if valid == 0 then
    call('DEL', list)
    call('HDEL', STALE, lane)
    call('ZREM', headsOf(lane), 'r' .. lane)
  else
    call('HSET', STALE, lane, #entries - valid)
  end
end

local function cutLine(name, line)
  local text = textOfField(name)
  local from, to = find('\n' .. text, '\n' .. line .. '\n', 1, true)
  if from then
    fields[name] = sub(text, 1, from - 1) .. sub(text, to)
  end
  return from ~= nil
end

local function leaveFront(task, lane)
  local entry = task.rank .. ' ' .. task.seq .. ' ' .. task.id
  return cutLine('ready', entry .. ' ' .. int(task.place) .. ' ' .. lane) or cutLine('front', withPlace(entry, task.place))
end

local function leaveSide(task, lane)
  local side = base .. 'z:' .. lane
  if call('ZREM', side, sideEntry(task.seq, task.id, task.place)) == 0 then
    return false
  end
  if call('EXISTS', side) == 0 then
    call('ZREM', headsOf(lane), 'z' .. lane)
  end
  return true
end

local function countStale(lane)
  if call('HINCRBY', STALE, lane, 1) >= call('LLEN', base .. 'r:' .. lane) then
    sift(lane)
  end
end

-- A ready task goes elsewhere, not by a claim from its lane. Under limits it may stand in either of two: what is counted
-- in the wrong one is put right when that is sifted.
local function leaveLane(task)
  identify(task)
  local quota = turns.quotaOf(task.lane)
  local plain = quota and quota.plain or task.lane
  local isGone = leaveFront(task, plain) or leaveSide(task, plain) or (plain ~= task.lane and leaveSide(task, task.lane))
  task.place = task.place + 1
  if not isGone then
    countStale(plain)
  end
  if not isGone and plain ~= task.lane then
    countStale(task.lane)
  end
end

-- Beyond all times: what nodes hold ahead, see `holds.lua`.
local HELD = 26388279066624
local agendaScores = {}

local function scoreOf(id)
  local score = agendaScores[id]
  if score == nil then
    score = tonumber(call('ZSCORE', AGENDA, id) or nil) or false
    agendaScores[id] = score
  end
  return score
end

-- Whether a waiting, unblocked task waits for its time, or in the hands of a node.
local function isScheduled(id)
  if agenda[id] then
    return true
  end
  return not unscheduled[id] and scoreOf(id) ~= false
end

-- The number of the node that holds a task ahead; nil where nobody does.
local function holderOf(task)
  if not WAITING[task.st] or task.blocked > 0 or agenda[task.id] or unscheduled[task.id] then
    return nil
  end
  local score = scoreOf(task.id)
  return score and score >= HELD and score - HELD or nil
end

-- Takes a task from where it stands, before its state changes.
local function leave(task)
  add(task.st, -1)
  if WAITING[task.st] then
    if task.blocked > 0 then
      add('blocked', -1)
    elseif isScheduled(task.id) then
      unschedule(task.id)
    else
      leaveLane(task)
    end
  elseif task.st ~= 'w' then
    unschedule(task.id)
  end
end

-- Puts a task where its new state belongs.
local function enter(task, completed)
  add(task.st, 1)
  if OVER[task.st] then
    schedule(task.id, ENDED + ceil(completed or now))
  elseif LEASED[task.st] then
    local lease = tonumber(task.lease)
    if lease then
      schedule(task.id, ceil(lease))
    end
  elseif WAITING[task.st] then
    if task.blocked > 0 then
      add('blocked', 1)
    elseif runAtOf(task) > now then
      local due = ceil(runAtOf(task))
      schedule(task.id, DELAYED + due)
      local known = tonumber(fields.due or counters.due or nil)
      if not known or due < known then
        fields.due = int(due)
      end
    else
      pushOne(task)
      tell('new')
    end
  end
end
