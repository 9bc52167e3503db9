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
local failure, answered = begin(true)
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
  finish()
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

local PROMOTIONS_MAX, LOOKED_AT_MAX, HEADS_STEP = 1000, 2000, 64
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
  local texts, lanes = fetchBoth(ids), {}
  for i, id in ipairs(ids) do
    taskTexts[id], stateTexts[id] = texts[2 * i - 1], texts[2 * i]
    local task = taskTexts[id] and load(id)
    if task and isReady(task) then
      identify(task)
      lanes[task.lane] = lanes[task.lane] or {}
      table.insert(lanes[task.lane], { task.rank, task.seq, task.id, task.place })
    end
    loaded[id] = nil
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
  return find(names, ' ' .. name .. ' ', 1, true) ~= nil
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

local leaseScore = tonumber(lease) and int(ceil(tonumber(lease)))

local function record(id, text, state, isFirst)
  local count = #taken
  taken[count + 1] = id
  states[2 * count + 1] = '=' .. id
  states[2 * count + 2] = state
  if leaseScore then
    scores[2 * count + 1] = leaseScore
    scores[2 * count + 2] = id
  end
  local size = #reply
  reply[size + 1] = id
  reply[size + 2] = text
  reply[size + 3] = isFirst and '' or state
  reply[size + 4] = ''
end

local function holdAhead(id, text, state)
  local count = #taken
  taken[count + 1] = id
  scores[2 * count + 1] = int(HELD + number)
  scores[2 * count + 2] = id
  local size = #reply
  reply[size + 1] = id
  reply[size + 2] = text
  reply[size + 3] = state
  reply[size + 4] = ''
end

local FIRST_REST = ' 0 0 0 ' .. lease .. ' 1 ' .. started .. ' - ' .. OWNER .. ' - - 0 0 0 0\np' .. TO .. nowText .. '[' .. OWNER_JSON .. ']\n'

local firsts = 0

local function claimFirst(id, text, runAt)
  if IS_HOLD then
    return holdAhead(id, text, '')
  end
  firsts = firsts + 1
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
  task.v, task.st = task.v + 1, TO
  setLease(task, lease)
  record(task.id, text, textOf(task))
end

-- Claims the task an entry names, if the entry still holds.
local function claimEntry(id, seqWanted, place, text, state)
  if not text then
    return false
  end
  local seq, createdAt, runAt = match(text, '^(%d+) %S+ (%S+) (%S+) ')
  if seq and tonumber(seq) ~= seqWanted then
    return false
  end
  place = tonumber(place) or 0
  if not state then
    if place ~= 0 then
      return false
    end
    claimFirst(id, text, (not seq and '0') or (runAt == '=' and createdAt) or runAt)
    return true
  end
  local task = parse(id, state)
  if task.isDamaged or not isReady(task) or task.place ~= place then
    return false
  end
  claimAgain(task, text)
  return true
end

-- Where entries come from: what lies in front, one text for each lane, and the lanes behind it.
local LINE = '^(%S+) (%d+) (%S+) ?(%d*)\n()'
local LANES_FIRST, PORTION_FIRST, PORTION_LATER, PORTION_MAX, FRONT_BYTES_MAX = 4, 64, 8, 256, 32768
local sources, opened, kept = {}, 0, {}

-- Texts in front of lanes that do not match stay as they are.
local function readFront()
  local text = counters.front
  if not text or text == '' then
    return
  end
  for lane, lines in string.gmatch(text, '@([^\n]*)\n([^@]*)') do
    if laneMatches(lane) then
      sources[#sources + 1] = { lane = lane, text = lines, at = 1 }
    else
      kept[#kept + 1] = '@' .. lane .. '\n' .. lines
    end
  end
end

-- Takes the next entries of a list or a sorted set to the front; false when there are none.
local function refill(source, want)
  local kind, lane = sub(source.head, 1, 1), source.lane
  local key = base .. kind .. ':' .. lane
  local isRoomy = opened <= LANES_FIRST and #(counters.front or '') < FRONT_BYTES_MAX
  local portion = isRoomy and PORTION_FIRST or PORTION_LATER
  portion = max(portion, min(ceil(want / 2), PORTION_MAX))
  local values = redis.pcall(kind == 'r' and 'LPOP' or 'ZPOPMIN', key, portion)
  if values and values.err then
    -- Somebody wrote something else there. It is put aside, so that the other lanes go on.
    call('RENAME', key, base .. 'damaged:' .. source.head)
    add('damaged', 1)
    values = false
  end
  local lines = values or {}
  if kind == 'z' then
    lines = {}
    for i = 1, #values, 2 do
      local seq, id, place = match(values[i], SIDE_ENTRY)
      lines[#lines + 1] = seq and values[i + 1] .. ' ' .. int(tonumber(seq)) .. ' ' .. id .. ' ' .. place or '-'
    end
  end
  source.isOver = #lines < portion
  source.score = match(lines[#lines] or '', '^(%S+) ') or source.score
  source.text, source.at = table.concat(lines, '\n') .. '\n', 1
  return #lines > 0
end

-- The next entry of each source: its rank, and what else it says. No rank: it is not read yet; false: there is none.
local ranks, seqs = {}, {}

local function current(i, want)
  local source = sources[i]
  while true do
    local rank, seq, id, place, after = match(source.text, LINE, source.at)
    rank = tonumber(rank or nil)
    if rank then
      ranks[i], seqs[i] = rank, tonumber(seq)
      source.id, source.place, source.after = id, place, after
      return rank
    elseif source.at < #source.text then
      source.at = (find(source.text, '\n', source.at, true) or #source.text) + 1
    elseif not source.head or source.isOver or not refill(source, want) then
      ranks[i] = false
      return false
    end
  end
end

-- The lanes behind, one after another by their heads.
local heads, headAt, headsAsked, isHeadsRead = {}, 1, 0, false
-- Until the heads are read, `head` tells below which rank no lane needs to be looked into.
local nextHead, nextScore

local function peekHead()
  isHeadsRead = true
  while true do
    if headAt > #heads then
      heads = call('ZRANGE', HEADS, headsAsked, headsAsked + HEADS_STEP - 1, 'WITHSCORES')
      headAt, headsAsked = 1, headsAsked + HEADS_STEP
      if #heads == 0 then
        nextHead, nextScore = nil, math.huge
        return
      end
    end
    nextHead, nextScore = heads[headAt], tonumber(heads[headAt + 1])
    headAt = headAt + 2
    if laneMatches(sub(nextHead, 2)) then
      return
    end
  end
end

-- The next entries of all matching lanes, in order.
local function pick(want)
  local ids, wanted, places, lanes, count = {}, {}, {}, {}, 0
  while count < want do
    local best, rank, seq
    for i = 1, #sources do
      local own = ranks[i]
      if own == nil then
        own = current(i, want)
      end
      if own and (not best or own < rank or (own == rank and seqs[i] < seq)) then
        best, rank, seq = i, own, seqs[i]
      end
    end
    if not best and nextScore == math.huge then
      break
    elseif best and rank < nextScore then
      if LAST_RANK and (rank > LAST_RANK or (rank == LAST_RANK and seq > LAST_SEQ)) then
        break
      end
      local source = sources[best]
      count = count + 1
      ids[count], wanted[count], places[count], lanes[count] = source.id, seq, source.place, source.lane
      source.at, ranks[best] = source.after, nil
    elseif not isHeadsRead then
      peekHead()
    else
      opened = opened + 1
      sources[#sources + 1] = { head = nextHead, lane = sub(nextHead, 2), score = heads[headAt - 1], text = '', at = 1 }
      peekHead()
    end
  end
  return ids, wanted, places, lanes
end

-- Puts back in front what was taken there and not claimed, and tells where the lanes begin now.
local function closeSources()
  local gone, scores, lowest = {}, {}, nextScore
  for _, source in ipairs(sources) do
    if source.at < #source.text then
      kept[#kept + 1] = '@' .. source.lane .. '\n' .. sub(source.text, source.at)
    end
    if source.head and source.isOver then
      gone[#gone + 1] = source.head
    elseif source.head then
      scores[#scores + 1] = source.score
      scores[#scores + 1] = source.head
      lowest = min(lowest, tonumber(source.score) or -math.huge)
    end
  end
  spread('ZREM', HEADS, gone)
  spread('ZADD', HEADS, scores, 2)
  local front = table.concat(kept)
  if front ~= (counters.front or '') then
    fields.front = front
  end
  if isHeadsRead and not isFiltered then
    fields.head = lowest == math.huge and 'inf' or lowest == -math.huge and '-inf' or format('%.17g', lowest)
  end
end

-- Entries that did not hold were counted when they became stale.
local function forget(lane)
  if call('HEXISTS', STALE, lane) == 1 and call('HINCRBY', STALE, lane, -1) <= 0 then
    call('HDEL', STALE, lane)
  end
end

local function claimByOrder()
  local looked, picked = 0, 0
  nextScore = tonumber(fields.head or counters.head or nil) or -math.huge
  readFront()
  repeat
    local want = LIMIT - #taken
    local ids, wanted, places, lanes = pick(want)
    local texts = fetchBoth(ids)
    for i = 1, #ids do
      if not claimEntry(ids[i], wanted[i], places[i], texts[2 * i - 1], texts[2 * i]) then
        forget(lanes[i])
      end
    end
    picked = #ids
    looked = looked + picked
    isChanged = isChanged or picked > 0 or opened > 0
    if #taken == 0 and looked >= LOOKED_AT_MAX then
      again = 1
      break
    end
  until #taken == LIMIT or picked < want
  if isChanged or isHeadsRead then
    closeSources()
  end
end

local function claimByIds()
  local ids, seen, ready = {}, {}, {}
  for i = 15, #ARGV do
    if not seen[ARGV[i]] then
      seen[ARGV[i]] = true
      ids[#ids + 1] = ARGV[i]
    end
  end
  local texts = fetchBoth(ids)
  for i, id in ipairs(ids) do
    taskTexts[id], stateTexts[id] = texts[2 * i - 1], texts[2 * i]
    local task = taskTexts[id] and load(id)
    -- What stands in a lane was due when it came there, though its submitter's clock may be some ms ahead of this one.
    local isDue = task and isReady(task) and (tonumber(task.runAt) <= now or not isScheduled(task.id))
    if isDue and not holderOf(task) then
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
local isWanting = IS_HOLD and #taken < LIMIT and not LAST_RANK and othersHold(number)
if isWanting then
  fields.wanted = OWNER
  tell('new')
end

-- A sign of life is written down whatever else there is.
if isChanged or next(fields) then
  if firsts > 0 then
    add('p', -firsts)
    add(TO, firsts)
  end
  spread('HSET', TASKS, states, 2)
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
