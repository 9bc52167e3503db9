-- Takes the first claimable tasks: leases them, and stores their start where that is wanted.
--
-- ARGV[5]   at most so many
-- ARGV[6]   the owner as a field, ARGV[7] as JSON
-- ARGV[8]   the end of the lease, or `+ms` from now
-- ARGV[9]   the status: a (assigned) or i (in_progress)
-- ARGV[10]  the lowest priority, or empty
-- ARGV[11]  agent types between blanks, '*' any
-- ARGV[12]  free agents between blanks, '*' not asked; ARGV[13] their types, '*' all
-- ARGV[14]  '1': only the ids in ARGV[15…]
-- To hold tasks ahead: ARGV[6] the node, ARGV[7] for so many ms, ARGV[9] 'h', ARGV[15] and ARGV[16] rank and sequence
--           of the last place that counts, or empty; the second of the reply is then what the node is told
-- Returns   the time, 1 when it should be asked again at once, then four for each task: id, `t`, `s` (empty: its first
--           claim, which the request tells), blockers (none)
-- Guarantee ascending by rank, then sequence; no task is claimed twice; the cost depends on the lanes that are
--           looked into and on what is taken, not on how much waits. Sent again, the same tasks are answered.
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  local ids = {}
  for id in string.gmatch(answered, '%S+') do
    ids[#ids + 1] = id
  end
  local time = table.remove(ids, 1)
  local told = ARGV[9] == 'h' and newsFor(ARGV[6], signOfLife(ARGV[6], tonumber(ARGV[7]))) or 0
  return pushRecords({ tonumber(time), told }, ids)
end

local LIMIT, OWNER, OWNER_JSON, TO = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[9]
local IS_HOLD = TO == 'h'
local LAST_RANK, LAST_SEQ = IS_HOLD and tonumber(ARGV[15]), IS_HOLD and tonumber(ARGV[16])
expireNodes()
local number, told
if IS_HOLD then
  local isKnown
  number, isKnown = signOfLife(OWNER, tonumber(OWNER_JSON))
  told = newsFor(OWNER, number, isKnown)
end
if counters.paused == '1' or LIMIT <= 0 then
  finish()
  return { now, told or 0 }
end

local PROMOTIONS_MAX, LOOKED_AT_MAX, HEADS_STEP, ENTRIES_FIRST = 1000, 2000, 64, 32
local lease = sub(ARGV[8], 1, 1) == '+' and int(now + tonumber(sub(ARGV[8], 2))) or ARGV[8]
local started = TO == 'i' and int(now) or '-'
local nowText = int(now)
local isChanged, again = false, 0

-- What has fallen due becomes ready.
local function promote()
  local due = counters.due
  if not due or due == '' or (tonumber(due) or 0) > now then
    return
  end
  local ids = call('ZRANGEBYSCORE', AGENDA, int(DELAYED), int(DELAYED + now), 'LIMIT', 0, PROMOTIONS_MAX)
  local texts, lanes = fetch(STATES, ids), {}
  for i, text in ipairs(fetch(TASKS, ids)) do
    taskTexts[ids[i]], stateTexts[ids[i]] = text, texts[i]
    local task = text and load(ids[i])
    if task and isReady(task) then
      identify(task)
      lanes[task.lane] = lanes[task.lane] or {}
      table.insert(lanes[task.lane], { task.rank, task.seq, task.id, task.place })
    end
    loaded[ids[i]] = nil
  end
  for _, entries in pairs(lanes) do
    table.sort(entries, function(a, b)
      local first, second = tonumber(a[1]), tonumber(b[1])
      return first < second or (first == second and tonumber(a[2]) < tonumber(b[2]))
    end)
  end
  spread('ZREM', AGENDA, ids)
  pushAll(lanes)
  local nextDue = call('ZRANGEBYSCORE', AGENDA, int(DELAYED), '(' .. int(ENDED), 'WITHSCORES', 'LIMIT', 0, 1)[2]
  fields.due = nextDue and int(tonumber(nextDue) - DELAYED) or ''
  isChanged = true
end

local PRIORITY_MIN, TYPES, AGENTS, AGENT_TYPES = tonumber(ARGV[10]), ARGV[11], ARGV[12], ARGV[13]
local isFiltered = PRIORITY_MIN or TYPES ~= '*' or AGENTS ~= '*'

local function has(names, name)
  return string.find(names, ' ' .. name .. ' ', 1, true) ~= nil
end

local function laneMatches(lane)
  if not isFiltered then
    return true
  end
  local priority, agentType, agent = match(lane, '^(%d+)|([^|]*)|([^|]*)$')
  if not priority or (PRIORITY_MIN and tonumber(priority) < PRIORITY_MIN) then
    return false
  end
  if TYPES ~= '*' and (agentType == '' or not has(TYPES, agentType)) then
    return false
  end
  if AGENTS == '*' then
    return true
  elseif agent ~= '' then
    return has(AGENTS, agent)
  elseif AGENTS == ' ' then
    return false
  end
  return agentType == '' or AGENT_TYPES == '*' or has(AGENT_TYPES, agentType)
end

local reply, states, scores, taken = { now, 0 }, {}, {}, {}

local function record(id, text, state, isFirst)
  states[#states + 1] = id
  states[#states + 1] = state
  if tonumber(lease) then
    scores[#scores + 1] = int(ceil(tonumber(lease)))
    scores[#scores + 1] = id
  end
  taken[#taken + 1] = id
  local size = #reply
  reply[size + 1] = id
  reply[size + 2] = text
  reply[size + 3] = isFirst and '' or state
  reply[size + 4] = ''
end

local function holdAhead(id, text, state)
  scores[#scores + 1] = int(HELD + number)
  scores[#scores + 1] = id
  taken[#taken + 1] = id
  local size = #reply
  reply[size + 1] = id
  reply[size + 2] = text
  reply[size + 3] = state
  reply[size + 4] = ''
end

local FIRST_REST = ' 0 0 0 ' .. lease .. ' 1 ' .. started .. ' - ' .. OWNER .. ' - - 0 0 0 0\np' .. TO .. nowText .. '[' .. OWNER_JSON .. ']\n'

local function claimFirst(id, text, runAt)
  if IS_HOLD then
    return holdAhead(id, text, '')
  end
  add('p', -1)
  add(TO, 1)
  record(id, text, '2 2 ' .. TO .. ' ' .. runAt .. FIRST_REST, true)
end

local function claimAgain(task, text)
  if IS_HOLD then
    return holdAhead(task.id, text, textOf(task))
  end
  add(task.st, -1)
  add(TO, 1)
  addEvent(task, task.st .. TO .. nowText .. '[' .. OWNER_JSON .. ']\n')
  local fence, completed, tail = match(restOf(task), '^(%d+) %S+ (%S+) %S+ (.*)$')
  task.rest = int(fence + 1) .. ' ' .. started .. ' ' .. completed .. ' ' .. OWNER .. ' ' .. tail
  task.v, task.st, task.lease = task.v + 1, TO, lease
  record(task.id, text, textOf(task))
end

-- Claims the task an entry names, if the entry still holds.
local function claimEntry(entry, text, state)
  if not text then
    return false
  end
  local seq, _, createdAt, runAt = match(text, IDENTITY)
  if seq and seq ~= entry.seq then
    return false
  end
  if not state then
    if entry.place ~= 0 then
      return false
    end
    claimFirst(entry.id, text, (not seq and '0') or (runAt == '=' and createdAt) or runAt)
    return true
  end
  local task = parse(entry.id, state)
  if task.isDamaged or not isReady(task) or task.place ~= entry.place then
    return false
  end
  claimAgain(task, text)
  return true
end

-- One list or sorted set of a lane, read from its beginning in growing portions.
local function open(head, score, want)
  local kind, lane = sub(head, 1, 1), sub(head, 2)
  return { head = head, kind = kind, lane = lane, score = score, key = base .. kind .. ':' .. lane,
    entries = {}, read = 0, at = 1, step = min(want + 1, ENTRIES_FIRST) }
end

local function readMore(source)
  local from, to = source.read, source.read + source.step - 1
  source.step = min(source.step * 4, 500)
  if source.kind == 'r' then
    local texts = redis.pcall('LRANGE', source.key, from, to)
    source.isBroken = texts.err ~= nil
    for _, text in ipairs(texts) do
      local rank, seq, id, place = match(text, ENTRY)
      source.entries[#source.entries + 1] = { rank = tonumber(rank or nil) or -math.huge, score = rank, seq = seq or '0', id = id, place = tonumber(place) or 0 }
    end
  else
    local texts = redis.pcall('ZRANGE', source.key, from, to, 'WITHSCORES')
    source.isBroken = texts.err ~= nil
    for i = 1, #texts, 2 do
      local seq, id, place = match(texts[i], SIDE_ENTRY)
      source.entries[#source.entries + 1] = { rank = tonumber(texts[i + 1]), score = texts[i + 1], seq = seq and int(tonumber(seq)) or '0', id = id, place = tonumber(place) or 0 }
    end
  end
  local isMore = #source.entries > source.read
  source.read = #source.entries
  return isMore
end

local function current(source)
  if source.at > #source.entries and not readMore(source) then
    return nil
  end
  return source.entries[source.at]
end

local function isBefore(a, b)
  return a.rank < b.rank or (a.rank == b.rank and tonumber(a.seq) < tonumber(b.seq))
end

-- The heads one after another, those that match.
local function headsInOrder()
  local buffer, at, asked = {}, 1, 0
  local function peek()
    while true do
      if at > #buffer then
        buffer = call('ZRANGE', HEADS, asked, asked + HEADS_STEP - 1, 'WITHSCORES')
        at, asked = 1, asked + HEADS_STEP
        if #buffer == 0 then
          return nil
        end
      end
      if laneMatches(sub(buffer[at], 2)) then
        return buffer[at], tonumber(buffer[at + 1])
      end
      at = at + 2
    end
  end
  return peek, function()
    at = at + 2
  end
end

-- The next entries over all matching lanes, in order; the lanes they come from.
local function pick(want)
  local picked, sources = {}, {}
  local peek, advance = headsInOrder()
  local head, score = peek()
  while #picked < want do
    local best, bestEntry
    for i = 1, #sources do
      local entry = current(sources[i])
      if entry and (not bestEntry or isBefore(entry, bestEntry)) then
        best, bestEntry = sources[i], entry
      end
    end
    if head and (not bestEntry or score <= bestEntry.rank) then
      sources[#sources + 1] = open(head, score, want - #picked)
      advance()
      head, score = peek()
    elseif not bestEntry or (LAST_RANK and isBefore({ rank = LAST_RANK, seq = LAST_SEQ }, bestEntry)) then
      break
    else
      picked[#picked + 1] = bestEntry
      bestEntry.source = best
      best.at = best.at + 1
    end
  end
  return picked, sources
end

-- Removes what was looked at from its lanes, and tells where they begin now.
local function trim(sources)
  local heads, gone = {}, {}
  for _, source in ipairs(sources) do
    local entry = current(source)
    if source.isBroken then
      call('RENAME', source.key, base .. 'damaged:' .. source.head)
      add('damaged', 1)
    elseif source.at > 1 then
      if source.kind == 'r' then
        call('LTRIM', source.key, source.at - 1, -1)
      else
        call('ZREMRANGEBYRANK', source.key, 0, source.at - 2)
      end
    end
    if not entry then
      gone[#gone + 1] = source.head
    elseif entry.rank ~= source.score then
      heads[#heads + 1] = tonumber(entry.score or nil) and entry.score or '-inf'
      heads[#heads + 1] = source.head
    end
  end
  spread('ZREM', HEADS, gone)
  spread('ZADD', HEADS, heads, 2)
end

-- Entries that did not hold were counted when they became stale.
local function forget(entry)
  if entry.source.kind == 'r' and call('HINCRBY', STALE, entry.source.lane, -1) <= 0 then
    call('HDEL', STALE, entry.source.lane)
  end
end

local function claimByOrder()
  local looked = 0
  repeat
    local want = LIMIT - #taken
    local picked, sources = pick(want)
    local ids = {}
    for i, entry in ipairs(picked) do
      ids[i] = entry.id or ''
    end
    local texts, known = fetch(TASKS, ids), fetch(STATES, ids)
    trim(sources)
    for i, entry in ipairs(picked) do
      if not entry.id or not claimEntry(entry, texts[i], known[i]) then
        forget(entry)
      end
    end
    isChanged = isChanged or #sources > 0
    looked = looked + #picked
    if #taken < LIMIT and looked >= LOOKED_AT_MAX and #picked == want then
      again = #taken == 0 and 1 or 0
      return
    end
  until #taken == LIMIT or #picked < want
end

local function claimByIds()
  local ids, seen, ready = {}, {}, {}
  for i = 15, #ARGV do
    if not seen[ARGV[i]] then
      seen[ARGV[i]] = true
      ids[#ids + 1] = ARGV[i]
    end
  end
  local known = fetch(STATES, ids)
  for i, text in ipairs(fetch(TASKS, ids)) do
    taskTexts[ids[i]], stateTexts[ids[i]] = text, known[i]
    local task = text and load(ids[i])
    if task and isReady(task) and tonumber(task.runAt) <= now and not holderOf(task) then
      identify(task)
      if laneMatches(task.lane) then
        ready[#ready + 1] = task
      end
    end
  end
  table.sort(ready, function(a, b)
    local first, second = tonumber(a.rank), tonumber(b.rank)
    return first < second or (first == second and tonumber(a.seq) < tonumber(b.seq))
  end)
  for i = 1, min(LIMIT, #ready) do
    local task = ready[i]
    if not isScheduled(task.id) then
      leaveLane(task)
    end
    claimAgain(task, taskTexts[task.id])
    isChanged = true
  end
end

promote()
if ARGV[14] == '1' then
  claimByIds()
else
  claimByOrder()
end

-- A node that finds nothing is given something by those that hold more.
local isWanting = IS_HOLD and #taken < LIMIT and not LAST_RANK and otherNodes(OWNER)
if isWanting then
  fields.wanted = OWNER
  tell('new')
end

if isChanged or isWanting then
  spread('HSET', STATES, states, 2)
  spread('ZADD', AGENDA, scores, 2)
  if #taken > 0 and not IS_HOLD then
    tell('updated')
  end
  finish(#taken > 0 and nowText .. ' ' .. table.concat(taken, ' ') or nil)
end
reply[2] = told or again
if told then
  told[6] = again
end
return reply
