-- Takes the first claimable tasks: leases them, and stores their start where that is wanted.
--
-- ARGV[5]   at most so many
-- ARGV[6]   the owner as a field, ARGV[7] as JSON
-- ARGV[8]   the end of the lease, or `+ms` from now
-- ARGV[9]   the status: a (assigned) or i (in_progress)
-- ARGV[10]  the lowest priority, or empty
-- ARGV[11]  agent types between blanks, '*' any
-- ARGV[12]  free agents between blanks, '*' not asked; ARGV[13] their types, '*' all
-- ARGV[14]  '1': only the ids in ARGV[15…]. 'b': only what waits in groups, beside the tasks that a node holds: rank and
--           sequence of each in ARGV[15…], in order. The second of the reply is then: 1 when it should be asked again; of each
--           of the latter that belongs to the claim, after how many that were taken it comes; `readiness`
-- Returns   the time, 1 when it should be asked again at once, then four for each task: id, `t`, `s` (empty: its first
--           claim, which the request tells), blockers (none)
-- Guarantee ascending by rank, then sequence; no task is claimed twice; the cost depends on the lanes that are
--           looked into and on what is taken, not on how much waits. Sent again, the same tasks are answered.
-- `claim-quick.lua` has begun.
local answered = counters.answered
if answered then
  local ids = {}
  for id in string.gmatch(answered, '%S+') do
    ids[#ids + 1] = id
  end
  local time = table.remove(ids, 1)
  local told = 0
  if ARGV[14] == 'b' then
    local after = {}
    for count in string.gmatch(table.remove(ids, 1), '%d+') do
      after[#after + 1] = tonumber(count)
    end
    told = { 0, after, readiness() }
  end
  finish()
  return pushRecords({ tonumber(time), told }, ids)
end

-- Said before anything is written: the other program is wanted.
if counters.quotas and not groups then
  return redis.error_reply('JOTTYGROUPS')
end

local LIMIT, OWNER, OWNER_JSON, TO = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[9]
expireNodes()
if counters.paused == '1' or LIMIT <= 0 then
  finish()
  return { now, ARGV[14] == 'b' and { 0, {}, 0 } or 0 }
end

local LOOKED_AT_MAX, HEADS_STEP, KEPT_BACK_MAX = 2000, 64, 500
local LANE_IN_TEXT = '^%S+ %S+ %S+ %S+ (%S*)'
local FIRST_STATE, lease = firstState('')
local started = TO == 'i' and int(now) or '-'
local nowText = int(now)
local isChanged, again = false, 0

local isFiltered = leavesLanesOut()

local function laneMatches(lane)
  return not isFiltered or matchesFilter(lane)
end

local reply, states, scores, taken = { now, 0 }, {}, {}, {}

local leaseScore = tonumber(lease) and int(ceil(tonumber(lease)))
local firsts = 0

local function take(id, text, state)
  local count = #taken
  taken[count + 1] = id
  if leaseScore then
    scores[2 * count + 1] = leaseScore
    scores[2 * count + 2] = id
  end
  local size = 4 * count + 2
  reply[size + 1] = id
  reply[size + 2] = text
  reply[size + 3] = state
  reply[size + 4] = ''
end

local function become(id, state)
  local size = #states
  states[size + 1] = '=' .. id
  states[size + 2] = state
end

-- The same for all of this call.
local firstStates = { [''] = FIRST_STATE }

local function claimFirst(id, text, limits)
  firsts = firsts + 1
  if not firstStates[limits] then
    firstStates[limits] = firstState(limits)
  end
  become(id, firstStates[limits])
  take(id, text, '')
end

local function claimAgain(task, text)
  add(task.st, -1)
  add(TO, 1)
  addEvent(task, task.st .. TO .. nowText .. '[' .. OWNER_JSON .. ']\n')
  local fence, completed, tail = match(restOf(task), '^(%d+) %S+ (%S+) %S+ (.*)$')
  task.rest = int(fence + 1) .. ' ' .. started .. ' ' .. completed .. ' ' .. OWNER .. ' ' .. tail
  task.v, task.st = task.v + 1, TO
  setLease(task, lease)
  local state = textOf(task)
  become(task.id, state)
  take(task.id, text, state)
end

-- What stood among the plain lanes and is kept back by its limits, for its own lane.
local keptBack = {}

local function isKeptBack(quota, lane, text)
  local weights = gates.weightsIn(text, lane)
  -- Nobody goes before another of his lane that weighs too much.
  if groups.shut[lane] or gates.obstacle(quota.keys, weights, 1) then
    groups.shut[lane] = true
    return true
  end
  gates.enter(quota.keys, weights)
end

-- True where it was claimed, false for one that does not hold.
local function claimEntry(id, seq, place, text, state)
  local task = holds(id, seq, place, text, state)
  if not task then
    return false
  end
  local lane = counters.quotas and match(text, LANE_IN_TEXT)
  local quota = lane and turns.quotaOf(lane)
  if quota and isKeptBack(quota, lane, text) then
    keptBack[#keptBack + 1] = { lane = lane, rank = match(text, '^%S+ (%S+)'), seq = seq, id = id, place = tonumber(place) or 0 }
    return nil
  elseif task == true then
    claimFirst(id, text, quota and quota.limits or '')
  else
    claimAgain(task, text)
  end
  return true
end

-- The gates of all these tasks at once.
local function prefetchGates(texts, count)
  local keys = {}
  for i = 1, count do
    local lane = texts[2 * i - 1] and match(texts[2 * i - 1], LANE_IN_TEXT)
    local quota = lane and turns.quotaOf(lane)
    if quota then
      gates.gather(keys, quota)
    end
  end
  if #keys > 0 then
    gates.prefetch(keys)
  end
end

-- Where entries come from: lines in `text` from `at` to `to`, then single `lines` from the one at `line` on. What is
-- ready or lies in front is read first, then the lanes behind it. Lua looks at every byte of a string it makes: few are made.
local LANES_FIRST, PORTION_FIRST, PORTION_LATER, PORTION_MAX, FRONT_BYTES_MAX = 4, 64, 8, 256, 32768
local sources, opened, kept = {}, 0, {}
local ready = { text = counters.ready or '', at = 1, isReady = true, lines = {}, line = 1, kept = {} }
ready.to = #ready.text
local endRank, endSeq, frontRank, frontSeq, readyFrom = match(ready.text, READY_HEADER)
ready.at = readyFrom or 1
local header = sub(ready.text, 1, ready.at - 1)
if frontRank == 'inf' then
  counters.front, isRead.front = '', true
end
-- The lowest place in front of lanes that do not match, and in such lanes.
local otherRank, otherSeq, skippedScore = math.huge, 0, math.huge

local function comesBefore(rank, seq, otherRank, otherSeq)
  return rank < otherRank or (rank == otherRank and seq < otherSeq)
end

-- Texts in front of lanes that do not match stay as they are.
local function readFront()
  local text = textOfField('front')
  local at = find(text, '@', 1, true)
  while at do
    -- A lane may have an '@' in its name: that of approvals does.
    local lineEnd = find(text, '\n', at, true) or #text
    local lineBefore = find(text, '\n@', lineEnd, true)
    local after = lineBefore and lineBefore + 1
    local lane, to = sub(text, at + 1, lineEnd - 1), lineBefore or #text
    if laneMatches(lane) then
      sources[#sources + 1] = { lane = lane, text = text, at = lineEnd + 1, to = to, lines = {}, line = 1 }
    else
      kept[#kept + 1] = sub(text, at, to)
      local rank, seq = match(text, '^(%S+) (%d+)', lineEnd + 1)
      rank, seq = tonumber(rank or nil) or -math.huge, tonumber(seq or nil) or 0
      if comesBefore(rank, seq, otherRank, otherSeq) then
        otherRank, otherSeq = rank, seq
      end
    end
    at = after
  end
end

-- Takes the next entries of a list or a sorted set to the front; false when there are none.
local function refill(source, want)
  local kind, lane = sub(source.head, 1, 1), source.lane
  local key = base .. kind .. ':' .. lane
  local isRoomy = opened <= LANES_FIRST and #textOfField('front') < FRONT_BYTES_MAX
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
  local last, lastSeq = match(lines[#lines] or '', '^(%S+) (%d+)')
  source.score, source.scoreSeq = last or source.score, tonumber(lastSeq or nil) or 0
  source.text, source.at, source.to, source.lines, source.line = '', 1, 0, lines, 1
  return #lines > 0
end

-- The next of what is ready: lines of lanes that do not match are kept, those that cannot be read are not.
local function advanceReady()
  while ready.at <= ready.to do
    local rank, seq, id, place, lane, after = match(ready.text, READY, ready.at)
    local number = tonumber(rank or nil)
    if not number then
      ready.at = (find(ready.text, '\n', ready.at, true) or ready.to) + 1
    elseif laneMatches(lane) then
      ready.rank, ready.seqNumber, ready.rankText = number, tonumber(seq), rank
      ready.seq, ready.id, ready.place, ready.lane, ready.after = seq, id, place, lane, after
      return true
    else
      ready.kept[#ready.kept + 1] = sub(ready.text, ready.at, after - 1)
      ready.at = after
    end
  end
  return false
end

-- Reads the usual entry, `rank seq id` in a line: to look for the blanks takes half as long as a pattern. False of another.
local function readUsual(source)
  local text, at, to = source.text, source.at, source.to
  local lineEnd = find(text, '\n', at, true)
  local last = lineEnd and lineEnd <= to and lineEnd - 1 or to
  local first = find(text, ' ', at, true)
  local second = first and find(text, ' ', first + 1, true)
  if not second or second >= last then
    return false
  end
  local third = find(text, ' ', second + 1, true)
  if third and third <= last then
    return false
  end
  local rank, seq = sub(text, at, first - 1), sub(text, first + 1, second - 1)
  source.rank, source.seqNumber, source.rankText = tonumber(rank), tonumber(seq), rank
  source.seq, source.id, source.place, source.last, source.after = seq, sub(text, second + 1, last), '', last, last + 2
  return source.rank and source.seqNumber
end

-- Reads the next entry of a source; false when there is none.
local function advance(source, want)
  if source.isReady then
    return advanceReady()
  end
  while true do
    while source.at <= source.to do
      if readUsual(source) then
        return true
      end
      local rank, seq, id, place, after = match(source.text, LINE, source.at)
      local number = tonumber(rank or nil)
      if number and after <= source.to + 1 then
        source.rank, source.seqNumber, source.rankText = number, tonumber(seq), rank
        source.seq, source.id, source.place, source.last, source.after = seq, id, place, nil, after
        return true
      end
      source.at = (find(source.text, '\n', source.at, true) or source.to) + 1
    end
    local line = source.lines[source.line]
    if line then
      source.text, source.at, source.to, source.line = line, 1, #line, source.line + 1
    elseif not source.head or source.isOver or not refill(source, want) then
      return false
    end
  end
end

local function isAhead(a, b)
  return a.rank < b.rank or (a.rank == b.rank and a.seqNumber < b.seqNumber)
end

-- The sources that have an entry, the one with the first of them last: there it is quickly taken and put back.
local order = {}

local function enlist(source)
  local at = #order
  while at > 0 and isAhead(order[at], source) do
    order[at + 1] = order[at]
    at = at - 1
  end
  order[at + 1] = source
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
    skippedScore = min(skippedScore, nextScore)
  end
end

local used

-- The source of the next entry of all matching lanes; nothing when there is none.
local function nextSource(want)
  if used then
    local source = used
    used = nil
    order[#order] = nil
    if advance(source, want) then
      enlist(source)
    end
  end
  while true do
    local source = order[#order]
    if source and source.rank < nextScore then
      return source
    elseif not source and nextScore == math.huge then
      return nil
    elseif not isHeadsRead then
      peekHead()
    else
      opened = opened + 1
      local fresh = { head = nextHead, lane = sub(nextHead, 2), score = heads[headAt - 1], text = '', at = 1, to = 0, lines = {}, line = 1 }
      sources[#sources + 1] = fresh
      if advance(fresh, want) then
        enlist(fresh)
      end
      peekHead()
    end
  end
end

local isOpen = false

-- Looks beyond what is ready.
local function openSources()
  isOpen = true
  sources[1] = ready
  readFront()
  for _, source in ipairs(sources) do
    if advance(source, LIMIT) then
      enlist(source)
    end
  end
end

-- Before which place an entry that is ready goes next in any case.
local function readyBound()
  local rank, seq = match(fields.head or counters.head or '', '^(%S+) ?(%d*)')
  local headRank, headSeq = tonumber(rank or nil) or -math.huge, tonumber(seq or nil) or 0
  local front, first = tonumber(frontRank or nil) or -math.huge, tonumber(frontSeq or nil) or 0
  if comesBefore(front, first, headRank, headSeq) then
    return front, first
  end
  return headRank, headSeq
end

-- What is ready and goes next in any case. Returns how many.
-- Of `below` on something else may go first.
local function pickReady(want, ids, seqs, places, lanes, below)
  local lastRank, lastSeq = readyBound()
  local lowest = tonumber(endRank or nil)
  local isAll = lowest and not isFiltered and (not below or lowest < below) and not comesBefore(lastRank, lastSeq, lowest, tonumber(endSeq))
  local count, text, at = 0, ready.text, ready.at
  while count < want do
    local rank, seq, id, place, lane, after = match(text, READY, at)
    if not rank then
      break
    elseif not isAll then
      local number, seqNumber = tonumber(rank), tonumber(seq)
      if not number or (below and number >= below) or comesBefore(lastRank, lastSeq, number, seqNumber) or not laneMatches(lane) then
        break
      end
    end
    count = count + 1
    ids[count], seqs[count], places[count], lanes[count] = id, seq, place, lane
    at = after
  end
  ready.at = at
  return count
end

-- The next entries of all matching lanes, in order.
local function pick(want)
  local ids, seqs, places, lanes, count = {}, {}, {}, {}, 0
  if not isOpen then
    count = pickReady(want, ids, seqs, places, lanes)
    if count == want then
      return ids, seqs, places, lanes
    end
    openSources()
  end
  while count < want do
    local source = nextSource(want)
    if not source then
      break
    end
    count = count + 1
    ids[count], seqs[count], places[count], lanes[count] = source.id, source.seq, source.place, source.lane
    source.at = source.after
    used = source
  end
  return ids, seqs, places, lanes
end

-- Where all that is ready was taken, the next entries are put in order ahead: the lanes need not be looked into each time.
local AHEAD_MIN, AHEAD_MAX = 64, 256
local ahead = {}

local function putEntryAhead(rank, seq, id, place, lane)
  local size = #ahead
  ahead[size + 1] = rank .. ' ' .. seq .. ' ' .. id
  ahead[size + 2] = ' ' .. (place == '' and '0' or place) .. ' ' .. lane .. '\n'
end

-- An entry of a lane as one of what is ready: mostly that with something behind it.
local function putAhead(source)
  if source.last then
    local size = #ahead
    source.suffix = source.suffix or ' 0 ' .. source.lane .. '\n'
    ahead[size + 1], ahead[size + 2] = sub(source.text, source.at, source.last), source.suffix
  else
    putEntryAhead(source.rankText, source.seq, source.id, source.place, source.lane)
  end
  source.at = source.after
  used = source
end

local function lookAhead()
  if not isOpen or ready.at <= ready.to or #ready.kept > 0 then
    return
  end
  for _ = 1, max(AHEAD_MIN, min(4 * LIMIT, AHEAD_MAX)) do
    local source = nextSource(LIMIT)
    if not source then
      break
    end
    putAhead(source)
  end
end

local function keepRest(source)
  local text, at, to, lines = source.text, source.at, source.to, source.lines
  if at > to and not lines[source.line] then
    return
  end
  kept[#kept + 1] = '@' .. source.lane .. '\n'
  if at <= to then
    kept[#kept + 1] = at == 1 and to == #text and text or sub(text, at, to)
    if sub(text, to, to) ~= '\n' then
      kept[#kept + 1] = '\n'
    end
  end
  for i = source.line, #lines do
    kept[#kept + 1] = lines[i]
    kept[#kept + 1] = '\n'
  end
end

local function rankText(rank)
  return rank == -math.huge and '-inf' or format('%.17g', rank)
end

-- Writes what is ready, and before it where that ends and the front begins.
local function closeReady(frontText)
  local ends = ready.at > ready.to and ahead[1] and match(ahead[#ahead - 1], '^%S+ %d+') or (endRank and endRank .. ' ' .. endSeq) or 'inf 0'
  local text = '@' .. ends .. ' ' .. frontText .. '\n' .. table.concat(ready.kept) .. table.concat(ahead) .. sub(ready.text, ready.at)
  if text ~= counters.ready then
    fields.ready = text
  end
end

-- Puts back what was taken to the front and not claimed, and tells where the front and the lanes begin now.
local function closeSources()
  if not isOpen then
    fields.ready = header .. sub(ready.text, ready.at)
    return
  end
  local gone, scores = {}, {}
  local headRank, headSeq = min(nextScore, skippedScore), 0
  for _, source in ipairs(sources) do
    if not source.isReady then
      local size = #kept
      keepRest(source)
      if #kept > size and comesBefore(source.rank or -math.huge, source.seqNumber or 0, otherRank, otherSeq) then
        otherRank, otherSeq = source.rank or -math.huge, source.seqNumber or 0
      end
    end
    if source.head and source.isOver then
      gone[#gone + 1] = source.head
    elseif source.head then
      local score = tonumber(source.score) or -math.huge
      scores[#scores + 1] = source.score
      scores[#scores + 1] = source.head
      if comesBefore(score, source.scoreSeq or 0, headRank, headSeq) then
        headRank, headSeq = score, source.scoreSeq or 0
      end
    end
  end
  spread('ZREM', HEADS, gone)
  spread('ZADD', HEADS, scores, 2)
  local front = table.concat(kept)
  if front ~= textOfField('front') then
    fields.front = front
  end
  closeReady(front == '' and 'inf 0' or rankText(otherRank) .. ' ' .. int(otherSeq))
  if isHeadsRead then
    fields.head = headRank == math.huge and 'inf' or rankText(headRank) .. ' ' .. int(headSeq)
  end
end

local function claimFromGroup(lane, group)
  isChanged = true
  if lane.task == true then
    claimFirst(lane.id, lane.text, lane.quota.limits)
  else
    claimAgain(lane.task, lane.text)
  end
  groups.taken(lane, group)
end

local function openGroups()
  groups.matches, groups.holds, groups.forget = laneMatches, holds, forget
  groups.begin(LIMIT)
end

local function closeGroups()
  if #taken == 0 and groups.looked >= LOOKED_AT_MAX then
    again = 1
  end
  groups.close()
  isChanged = isChanged or groups.isChanged
end

-- Texts of tasks that stand among the plain lanes: with one, those that are ready behind it.
local plainTexts, TEXTS_AHEAD = {}, 16

local function textsOf(plain)
  if plainTexts[plain.id] == nil then
    local ids, at = { plain.id }, plain.after
    while plain.isReady and #ids < min(TEXTS_AHEAD, LIMIT - #taken) do
      local _, _, id, _, _, after = match(plain.text, READY, at)
      if not id then
        break
      end
      ids[#ids + 1], at = id, after
    end
    local texts = fetchBoth(ids)
    prefetchGates(texts, #ids)
    for i, id in ipairs(ids) do
      plainTexts[id] = { texts[2 * i - 1], texts[2 * i] }
    end
  end
  return plainTexts[plain.id][1], plainTexts[plain.id][2]
end

-- The next of all lanes and groups are put in order ahead, as far as they may pass beside those that were taken.
local function lookAheadAmongGroups()
  if groups.isFair or isFiltered or (counters.holders or '') ~= '' then
    return
  end
  local most = max(AHEAD_MIN, min(4 * LIMIT, AHEAD_MAX))
  groups.lookAhead()
  while #ahead < 2 * most do
    local plain = nextSource(LIMIT)
    local first, group = groups.next(plain)
    if not first then
      return
    elseif first == true then
      putAhead(plain)
    else
      local entry = first.entries[first.at]
      putEntryAhead(match(first.text, '^%S+ (%S+)'), int(tonumber(entry[2])), first.id, entry[4] or '', first.quota.plain)
      groups.takenAhead(first, group)
    end
  end
end

-- Claims one by one while groups of lanes wait beside the plain ones.
local function claimAmongGroups()
  while #taken < LIMIT and groups.areWaiting() do
    local plain = nextSource(LIMIT - #taken)
    local first, group = groups.next(plain)
    if not first then
      break
    end
    if first == true then
      isChanged = true
      local isClaimed = claimEntry(plain.id, plain.seq, plain.place, textsOf(plain))
      if isClaimed then
        groups.servedPlain()
      elseif isClaimed == false then
        forget(plain.lane)
      end
      plain.at = plain.after
      used = plain
    else
      claimFromGroup(first, group)
    end
  end
  if #taken == LIMIT then
    lookAheadAmongGroups()
  end
end

-- Claims from groups beside what a node holds. Returns how many were claimed before each of the latter that is taken.
local function claimBeside()
  local count, after = 0, {}
  openGroups()
  while #taken + count < LIMIT do
    local rank, seq = tonumber(ARGV[15 + 2 * count] or nil), tonumber(ARGV[16 + 2 * count] or nil)
    local first, group = groups.next(rank and { rank = rank, seqNumber = seq })
    if not first then
      break
    elseif first == true then
      count = count + 1
      after[count] = #taken
      groups.servedPlain()
    else
      claimFromGroup(first, group)
    end
  end
  closeGroups()
  isChanged = isChanged or groups.isFair
  return after
end

local function claimPicked(ids, seqs, places, lanes)
  local texts = fetchBoth(ids)
  if counters.quotas then
    prefetchGates(texts, #ids)
  end
  for i = 1, #ids do
    if claimEntry(ids[i], seqs[i], places[i], texts[2 * i - 1], texts[2 * i]) == false then
      forget(lanes[i])
    end
  end
  isChanged = isChanged or #ids > 0
end

-- Claims what is ready and goes before all that waits in groups.
local function claimBeforeGroups()
  local below = groups.firstRank()
  repeat
    local ids, seqs, places, lanes = {}, {}, {}, {}
    pickReady(LIMIT - #taken, ids, seqs, places, lanes, below)
    claimPicked(ids, seqs, places, lanes)
  until #ids == 0 or #taken == LIMIT or #keptBack >= KEPT_BACK_MAX
end

local function claimByOrder()
  local looked, picked = 0, 0
  nextScore = tonumber(match(fields.head or counters.head or '', '^%S+') or nil) or -math.huge
  if counters.quotas then
    openGroups()
    if not groups.isFair then
      claimBeforeGroups()
    end
    if #taken < LIMIT and groups.areWaiting() then
      openSources()
      claimAmongGroups()
    end
  end
  repeat
    local want = LIMIT - #taken
    local ids, seqs, places, lanes = pick(want)
    claimPicked(ids, seqs, places, lanes)
    picked = #ids
    looked = looked + picked
    isChanged = isChanged or opened > 0
    if #keptBack >= KEPT_BACK_MAX or (#taken == 0 and looked >= LOOKED_AT_MAX) then
      again = 1
      break
    end
  until #taken == LIMIT or picked < want
  if counters.quotas then
    closeGroups()
  end
  if #keptBack > 0 then
    appendEntries(keptBack)
  end
  if #taken == LIMIT then
    lookAhead()
  end
  if isChanged or isHeadsRead then
    closeSources()
  end
end

-- Takes the places under its limits that a task needs, if there are.
local function passes(task)
  if limitsOf(task) == '' then
    return true
  end
  local keys = turns.keysOf(task.limits)
  local weights = match(taskTexts[task.id], '^%S+ %S+ %S+ %S+ %S+ (%S+)\n') or ''
  if gates.obstacle(keys, weights, 1) then
    return false
  end
  gates.enter(keys, weights)
  return true
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
    local isDue = task and isReady(task) and (runAtOf(task) <= now or not isScheduled(task.id))
    if isDue and not holderOf(task) then
      identify(task)
      if laneMatches(task.lane) then
        ready[#ready + 1] = task
      end
    end
  end
  table.sort(ready, isBefore)
  for _, task in ipairs(ready) do
    if #taken < LIMIT and passes(task) then
      if not isScheduled(task.id) then
        leaveLane(task)
      end
      claimAgain(task, taskTexts[task.id])
      isChanged = true
    end
  end
  if counters.quotas then
    gates.save()
  end
end

promote()
if counters.quotas and not groups then
  -- The first that waits in a group has just fallen due. That is written; the other program claims.
  finish()
  return { now, 1 }
end
local beside
if ARGV[14] == '1' then
  claimByIds()
elseif ARGV[14] == 'b' then
  beside = claimBeside()
else
  claimByOrder()
end

if isChanged or next(fields) then
  if firsts > 0 then
    add('p', -firsts)
    add(TO, firsts)
  end
  spread('HSET', TASKS, states, 2)
  spread('ZADD', AGENDA, scores, 2)
  if #taken > 0 then
    tell('updated')
  end
  local isAny = #taken > 0 or (beside and #beside > 0)
  taken[0] = beside and nowText .. ' :' .. table.concat(beside, ':') or nowText
  finish(isAny and table.concat(taken, ' ', 0) or nil)
end
reply[2] = beside and { again, beside, readiness() } or again
return reply
