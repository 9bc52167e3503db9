-- Stores tasks, in groups: each group whole or not at all.
--
-- ARGV[5]   the sizes of the groups; empty: every task is one
-- ARGV[6]   how many tasks; behind it, where identities begin with the sequences that they are believed to get, the first of
--           these: what is right need not be put together here
-- ARGV[7…]  two for each task: id, and its identity without the sequence; then two for each task with something
--           special: its index, and `runAt alarmAt` with a line `on dependency condition` for each edge ('+on' in a join of
--           any), and with the first of a group `g key,key max rate paused closed` for its rules, '_' what is not given
--           Instead '@' and the name of a hash in which they were staged, `stage:<name>`: 1… -> id \n length of what
--           is special \n what is special, identity
-- Returns   nothing for groups that were stored without effects; for others three: the group's index, then
--           'conflict' and the records that exist · 'unknown' and pairs of task index, dependency · 'effects'
--           Last the sequence given last.
-- Guarantee sequences rise with the order given; a group with a conflict or an unknown dependency writes nothing.
-- `insert-quick.lua` has begun.
local answered = counters.answered
local COUNT, FIRST = count, 7
local RANK_AND_LANE = '^(%S+) %S+ %S+ (%S*)'
local results, ids = {}, {}

local function reply()
  local values = {}
  for _, result in ipairs(results) do
    local size = #values
    if type(result) == 'number' then
      values[size + 1] = result
    else
      values[size + 1] = result[1]
      values[size + 2] = result[2]
      values[size + 3] = result[2] == 'conflict' and pushRecords({}, result[3]) or result[3]
    end
  end
  return values
end

if answered then
  results = cmsgpack.unpack(answered)
  return reply()
end

-- A large batch comes in parts that are laid down beside the queue, so that nobody waits long for Redis or the network.
local STAGED = '^([^\n]*)\n(%d+)\n()'
local stage = ARGV[FIRST] == '@' and base .. 'stage:' .. ARGV[FIRST + 1]
local identities, specials = {}, {}

local function readStage()
  for from = 1, COUNT, VALUES_MAX do
    local names = {}
    for i = from, min(from + VALUES_MAX - 1, COUNT) do
      names[#names + 1] = int(i)
    end
    for i, packed in ipairs(call('HMGET', stage, unpack(names))) do
      local id, length, at = match(packed or '', STAGED)
      if not id then
        return false
      end
      local index = from + i - 1
      ids[index], identities[index] = id, sub(packed, at + length)
      specials[index] = length ~= '0' and sub(packed, at, at + length - 1) or nil
    end
  end
  return true
end

if not stage then
  for i = 1, COUNT do
    ids[i], identities[i] = ARGV[FIRST + 2 * i - 2], identityAt(i)
  end
  for i = FIRST + 2 * COUNT, #ARGV, 2 do
    specials[tonumber(ARGV[i])] = ARGV[i + 1]
  end
elseif not readStage() then
  return redis.error_reply('JOTTYSTAGE')
end
local exists = {}
for i, text in ipairs(fetch(TASKS, ids)) do
  if text then
    exists[ids[i]] = true
  end
end

local seq = lastSeq()
local firstSeq = seq + 1
local texts, stored, entries, isLinked = {}, {}, {}, {}
local hasSpecials = next(specials) ~= nil

local function delay(id, runAt)
  local due = ceil(runAt)
  schedule(id, DELAYED + due)
  local known = tonumber(fields.due or counters.due or nil)
  if not known or due < known then
    fields.due = int(due)
  end
end

local function linkAll(linked, effects)
  local ended = {}
  for _, one in ipairs(linked) do
    local task = load(one.id)
    task.isArriving = true
    one.task = task
  end
  for _, one in ipairs(linked) do
    local reason = not OVER[one.task.st] and link(one.task, one.edges, effects)
    if reason then
      skip(one.task, reason, effects, ended)
    end
  end
  settleDependents(ended, effects)
  for _, one in ipairs(linked) do
    local task = one.task
    task.isArriving = nil
    if task.blocked > 0 then
      add('blocked', 1)
      write(task)
    elseif not OVER[task.st] then
      if runAtOf(task) > now then
        delay(task.id, runAtOf(task))
      else
        appendTask(task)
        tell('new')
      end
    end
  end
end

local function prefetchGates()
  local keys = {}
  for i = 1, #ids do
    local _, lane = match(identities[i], RANK_AND_LANE)
    local quota = turns.quotaOf(lane)
    if quota then
      gates.gather(keys, quota)
    end
  end
  if #keys > 0 then
    gates.prefetch(keys)
  end
end

local function unknownOf(linked, group)
  local unknown = {}
  for _, one in ipairs(linked) do
    for _, edge in ipairs(one.edges) do
      if not group[edge.id] and not exists[edge.id] and not load(edge.id) then
        unknown[#unknown + 1] = one.index
        unknown[#unknown + 1] = edge.id
      end
    end
  end
  return unknown
end

-- The tasks of a group that exist already; nothing where none does.
local function conflictsOf(from, to)
  local conflicts
  for i = from, to do
    if exists[ids[i]] then
      conflicts = conflicts or {}
      conflicts[#conflicts + 1] = ids[i]
    end
  end
  return conflicts
end

-- The tasks of a group that have edges, and what these lead to that is nowhere.
local function examineEdges(from, to)
  local linked, group = {}, {}
  for i = from, to do
    local edges = specials[i] and edgesOf(match(specials[i], '^[^\n]*\n(.*)$') or '')
    group[ids[i]] = true
    if edges then
      linked[#linked + 1] = { id = ids[i], index = i - from, edges = edges }
      isLinked[ids[i]] = true
    end
  end
  return linked, unknownOf(linked, group)
end

local function setRules(lines)
  for keys, limit, rate, paused, closed in string.gmatch(lines, '\ng (%S+) (%S+) (%S+) (%S+) (%S+)') do
    for key in string.gmatch(keys, '[^,]+') do
      gates.set(key, limit, rate, paused, closed)
    end
  end
end

-- A task with edges is put in its place by `linkAll`.
local function place(special, id, rank, lane, seqText)
  local runAt, alarm, lines
  if special then
    runAt, alarm, lines = match(special, '^(%S*) ?(%S*)(.*)$')
    setRules(lines)
    if alarm ~= '' then
      local task = load(id)
      setLease(task, '!' .. alarm)
      write(task)
    end
  end
  if isLinked[id] then
    return
  elseif (tonumber(runAt) or 0) > now then
    delay(id, tonumber(runAt))
  else
    append(openLane(gates.laneFor(lane)), rank, tonumber(rank), seqText, seq, id, 0)
    tell('new')
  end
end

local function store(i)
  local id, identity = ids[i], identities[i]
  seq = seq + 1
  local seqText = int(seq)
  local text = seqText .. ' ' .. identity
  local count = #stored + 1
  texts[2 * count - 1] = id
  texts[2 * count] = text
  stored[count] = id
  entries[count] = bucketEntry(seqText, id)
  exists[id] = true
  if hasSpecials then
    taskTexts[id], stateTexts[id], loaded[id] = text, false, nil
  end
  local rank, lane = match(identity, RANK_AND_LANE)
  local quota = turns.quotaOf(lane)
  if quota then
    gates.addTasks(quota.keys, 1)
  end
  place(specials[i], id, rank, lane, seqText)
end

local function insertGroup(index, from, to)
  local conflicts = conflictsOf(from, to)
  if conflicts then
    results[#results + 1] = { index, 'conflict', conflicts }
    return
  end
  local linked, unknown = {}, {}
  if hasSpecials then
    linked, unknown = examineEdges(from, to)
  end
  if #unknown > 0 then
    results[#results + 1] = { index, 'unknown', unknown }
    return
  end
  for i = from, to do
    store(i)
  end
  if #linked > 0 then
    local effects = newEffects()
    linkAll(linked, effects)
    if not isQuiet(effects) then
      results[#results + 1] = { index, 'effects', effectsReply(effects) }
    end
  end
end

prefetchGates()
if ARGV[5] == '' then
  for i = 1, #ids do
    if hasSpecials or exists[ids[i]] then
      insertGroup(i - 1, i, i)
    else
      store(i)
    end
  end
else
  local index, from = 0, 1
  for size in string.gmatch(ARGV[5], '%d+') do
    insertGroup(index, from, from + size - 1)
    index, from = index + 1, from + size
  end
end

if #stored > 0 then
  add('p', #stored)
  spread('HSET', TASKS, texts, 2)
  appendToBuckets(entries, firstSeq)
  closeLanes()
  save()
  fields.seq = int(seq)
  tell('updated')
end
if stage then
  call('UNLINK', stage)
end
if fields.recall then
  results[#results + 1] = { -1, 'recall', {} }
end
results[#results + 1] = seq
-- A request that stored nothing may be answered anew.
finish(#stored > 0 and cmsgpack.pack(results) or nil)
return reply()
