-- Takes the first tasks off their lanes, to be held ahead by a node. It is also the node's sign of life.
--
-- ARGV[5]   at most so many; 0: only the sign of life, and what is to be told
-- ARGV[6]   the node, ARGV[7] for so many ms
-- ARGV[8]   rank and ARGV[9] sequence of the last place that counts, or empty
-- ARGV[10…13] from which lanes, see `lane-filter.lua`
-- Returns   the time, what the node is told (`newsFor`), then of each task its id and `t`, and `s` behind a line break where
--           there is one
-- Guarantee ascending by rank, then sequence. The tasks stay as they are, and nobody else claims them. The cost depends on
--           the lanes that are looked into and on what is taken, not on how much waits. Sent again, the same tasks are
--           answered.
--
-- What is taken is read where it stands, and only then removed from there: nothing is put in order ahead, as claims do,
-- which would be written and read again with every hold.
local failure, answered = begin(true)
if failure then
  return failure
end
local LIMIT, NODE, LAST_RANK, LAST_SEQ = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[8]), tonumber(ARGV[9])
local reply = { now }

local function answer(id, text, state)
  local size = #reply
  reply[size + 1], reply[size + 2], reply[size + 3] = id, text, state and '\n' .. state or nil
end

expireNodes()
local number, isKnown = signOfLife(NODE, tonumber(ARGV[7]))
local told = newsFor(NODE, number, isKnown)
reply[2] = told
if answered then
  local ids = {}
  for id in string.gmatch(answered, '%S+') do
    ids[#ids + 1] = id
  end
  local texts = fetchBoth(ids)
  for i, id in ipairs(ids) do
    if texts[2 * i - 1] then
      answer(id, texts[2 * i - 1], texts[2 * i])
    end
  end
  finish()
  return reply
end
if told[2] == 1 or LIMIT <= 0 then
  finish()
  return reply
end
promote()
if counters.quotas then
  gates.openDue()
  gates.save()
end

local LOOKED_AT_MAX, HEADS_STEP, PORTION_FIRST, PORTION_MAX = 2000, 64, 16, 256
local isFiltered = leavesLanesOut()

local function laneMatches(lane)
  return not isFiltered or matchesFilter(lane)
end

-- Where entries come from: what is ready, what lies in front, and the lanes. Each source stands at its next entry.
local sources = {}

local function stand(source, rankText, rank, seq, id, place)
  source.rankText, source.rank, source.seqText, source.seq = rankText, rank, seq, tonumber(seq)
  source.id, source.place = id, place
  return true
end

-- The next of the lines that say what is ready: what was taken is cut out of them.
local function advanceReady(source)
  local text = source.text
  if source.after then
    source.parts[#source.parts + 1] = sub(text, source.cut, source.from - 1)
    source.cut, source.at = source.after, source.after
  end
  while source.at <= #text do
    local rank, seq, id, place, lane, after = match(text, READY, source.at)
    local number = tonumber(rank or nil)
    if number and laneMatches(lane) then
      source.from, source.after, source.lane = source.at, after, lane
      return stand(source, rank, number, seq, id, place)
    end
    source.at = after or (find(text, '\n', source.at, true) or #text) + 1
  end
  return false
end

-- The next line of a lane that lies in front.
local function advanceFront(source)
  local text, to = source.text, source.to
  source.at = source.after or source.at
  while source.at <= to do
    local rank, seq, id, place, after = match(text, LINE, source.at)
    local number = tonumber(rank or nil)
    if number and after <= to + 1 then
      source.after = after
      return stand(source, rank, number, seq, id, place)
    end
    source.at = (find(text, '\n', source.at, true) or to) + 1
  end
  return false
end

-- Reads the next entries of a list or a sorted set; they stay there.
local function read(source)
  local isList, from, values = source.kind == 'r', source.read
  local to = from + source.portion - 1
  values = isList and redis.pcall('LRANGE', source.key, from, to) or redis.pcall('ZRANGE', source.key, from, to, 'WITHSCORES')
  if values.err then
    -- Somebody wrote something else there. It is put aside, so that the other lanes go on.
    call('RENAME', source.key, base .. 'damaged:' .. source.head)
    add('damaged', 1)
    values = {}
  end
  local count = #values / (isList and 1 or 2)
  source.values, source.line, source.read = values, 0, from + count
  source.isOver, source.portion = count < source.portion, min(2 * source.portion, PORTION_MAX)
  return count > 0
end

-- An entry of a list. To look for the blanks of the usual one takes half as long as a pattern.
local function standAt(source, entry)
  local first = find(entry, ' ', 1, true)
  local second = first and find(entry, ' ', first + 1, true)
  if second and not find(entry, ' ', second + 1, true) then
    local rank, seq = sub(entry, 1, first - 1), sub(entry, first + 1, second - 1)
    local number, seqNumber = tonumber(rank), tonumber(seq)
    if number and seqNumber and second < #entry then
      source.rankText, source.rank, source.seqText, source.seq = rank, number, seq, seqNumber
      source.id, source.place = sub(entry, second + 1), ''
      return true
    end
  end
  local rank, seq, id, place = match(entry, ENTRY)
  local number = tonumber(rank or nil)
  return number and stand(source, rank, number, seq, id, place)
end

local function standBeside(source, member, score)
  local seq, id, place = match(member, SIDE_ENTRY)
  local number = seq and tonumber(score)
  return number and stand(source, score, number, int(tonumber(seq)), id, place)
end

local function advanceLane(source)
  local isList = source.kind == 'r'
  while true do
    local line, values = source.line + 1, source.values
    if (isList and line or 2 * line) > #values then
      if source.isOver or not read(source) then
        source.isEmpty = true
        return false
      end
      line, values = 1, source.values
    end
    source.line = line
    if isList then
      if standAt(source, values[line]) then
        return true
      end
    elseif standBeside(source, values[2 * line - 1], values[2 * line]) then
      return true
    end
  end
end

-- A heap of the sources that have an entry, the one with the first of them at its top.
local heap = {}

local function isAhead(a, b)
  return a.rank < b.rank or (a.rank == b.rank and a.seq < b.seq)
end

local function rise(source)
  local at = #heap + 1
  while at > 1 do
    local above = floor(at / 2)
    if not isAhead(source, heap[above]) then
      break
    end
    heap[at], at = heap[above], above
  end
  heap[at] = source
end

local function sink(source, size)
  local at = 1
  while 2 * at <= size do
    local below = 2 * at
    if below < size and isAhead(heap[below + 1], heap[below]) then
      below = below + 1
    end
    if not isAhead(heap[below], source) then
      break
    end
    heap[at], at = heap[below], below
  end
  heap[at] = source
end

local function open(source, advance)
  source.advance = advance
  sources[#sources + 1] = source
  if advance(source) then
    rise(source)
  end
end

-- Past the entry at the top.
local function advanceTop()
  local size, source = #heap, heap[1]
  if source.advance(source) then
    sink(source, size)
  else
    source = heap[size]
    heap[size] = nil
    if size > 1 then
      sink(source, size - 1)
    end
  end
end

local readyText, frontText = counters.ready or '', textOfField('front')
local endRank, endSeq, _, _, readyFrom = match(readyText, READY_HEADER)

local function openTexts()
  local from = readyFrom or 1
  if from <= #readyText then
    open({ text = readyText, at = from, cut = from, parts = {} }, advanceReady)
  end
  local at = find(frontText, '@', 1, true)
  while at do
    -- A lane may have an '@' in its name: that of approvals does.
    local lineEnd = find(frontText, '\n', at, true) or #frontText
    local lineBefore = find(frontText, '\n@', lineEnd, true)
    local lane, to = sub(frontText, at + 1, lineEnd - 1), lineBefore or #frontText
    if laneMatches(lane) then
      open({ lane = lane, text = frontText, start = at, at = lineEnd + 1, to = to }, advanceFront)
    end
    at = lineBefore and lineBefore + 1
  end
end

-- The lanes, one after another by their heads; none of those that were not opened has anything before `nextScore`.
local heads, headAt, headsAsked, nextScore, skippedScore = {}, 1, 0, -math.huge, math.huge

local function openNext()
  if headAt > #heads then
    heads, headAt = call('ZRANGE', HEADS, headsAsked, headsAsked + HEADS_STEP - 1, 'WITHSCORES'), 1
    headsAsked = headsAsked + HEADS_STEP
  else
    local head, score = heads[headAt], heads[headAt + 1]
    local kind, lane = sub(head, 1, 1), sub(head, 2)
    if laneMatches(lane) then
      open({ head = head, score = score, kind = kind, lane = lane, key = base .. kind .. ':' .. lane, values = {}, line = 0,
        read = 0, portion = PORTION_FIRST }, advanceLane)
    else
      skippedScore = min(skippedScore, tonumber(score))
    end
    headAt = headAt + 2
  end
  if headAt < #heads then
    nextScore = tonumber(heads[headAt + 1])
  elseif #heads < 2 * HEADS_STEP then
    nextScore = math.huge
  end
end

-- The source of the next entry that counts.
local function nextSource()
  while not heap[1] or heap[1].rank >= nextScore do
    if nextScore == math.huge or (LAST_RANK and nextScore > LAST_RANK) then
      break
    end
    openNext()
  end
  local source = heap[1]
  if source and LAST_RANK and (source.rank > LAST_RANK or (source.rank == LAST_RANK and source.seq > LAST_SEQ)) then
    return nil
  end
  return source
end

local function pick(want)
  local ids, seqs, places, lanes, count = {}, {}, {}, {}, 0
  while count < want do
    local source = nextSource()
    if not source then
      break
    end
    count = count + 1
    ids[count], seqs[count], places[count], lanes[count] = source.id, source.seqText, source.place, source.lane
    source.isTaken = true
    advanceTop()
  end
  return ids, seqs, places, lanes, count
end

local taken, scores, looked, again = {}, {}, 0, 0
local heldScore = int(HELD + number)

local function take()
  local want = LIMIT - #taken
  local ids, seqs, places, lanes, count = pick(want)
  local texts = fetchBoth(ids)
  for i = 1, count do
    local id, text, state = ids[i], texts[2 * i - 1], texts[2 * i]
    if holds(id, seqs[i], places[i], text, state) then
      local size = #taken
      taken[size + 1], scores[2 * size + 1], scores[2 * size + 2] = id, heldScore, id
      answer(id, text, state)
    else
      forget(lanes[i])
    end
  end
  looked = looked + count
  return count == want
end

openTexts()
while take() and #taken < LIMIT do
  if #taken == 0 and looked >= LOOKED_AT_MAX then
    again = 1
    break
  end
end

local function rankText(rank)
  return rank == math.huge and 'inf' or rank == -math.huge and '-inf' or format('%.17g', rank)
end

-- From a lane that was looked into goes what was taken; `heads` tell where it begins now.
local function closeLane(source, gone, begins)
  if source.isEmpty then
    gone[#gone + 1] = source.head
    call('DEL', source.key)
    return
  end
  local passed = source.read - #source.values / (source.kind == 'r' and 1 or 2) + source.line - 1
  if passed > 0 and source.kind == 'r' then
    call('LTRIM', source.key, passed, -1)
  elseif passed > 0 then
    call('ZREMRANGEBYRANK', source.key, 0, passed - 1)
  end
  if source.rankText ~= source.score then
    begins[#begins + 1], begins[#begins + 2] = source.rankText, source.head
  end
end

local function close()
  local gone, begins, isFrontCut, header = {}, {}, false, sub(readyText, 1, (readyFrom or 1) - 1)
  local headRank, headSeq, ready = min(nextScore, skippedScore), 0, nil
  local front, frontAt = {}, 1
  for _, source in ipairs(sources) do
    if source.key then
      closeLane(source, gone, begins)
      if not source.isEmpty and (source.rank < headRank or (source.rank == headRank and source.seq < headSeq)) then
        headRank, headSeq = source.rank, source.seq
      end
    elseif source.isTaken and source.parts then
      ready = table.concat(source.parts) .. sub(readyText, source.cut)
    elseif source.isTaken then
      isFrontCut = true
      front[#front + 1] = sub(frontText, frontAt, source.start - 1)
      if source.at <= source.to then
        front[#front + 1] = '@' .. source.lane .. '\n' .. sub(frontText, source.at, source.to)
      end
      frontAt = source.to + 1
    end
  end
  spread('ZREM', HEADS, gone)
  spread('ZADD', HEADS, begins, 2)
  if isFrontCut then
    fields.front = table.concat(front) .. sub(frontText, frontAt)
    if fields.front == '' and endRank then
      header = '@' .. endRank .. ' ' .. endSeq .. ' inf 0\n'
      ready = ready or sub(readyText, readyFrom)
    end
  end
  if ready then
    fields.ready = header .. ready
  end
  if headsAsked > 0 then
    fields.head = headRank == math.huge and 'inf' or rankText(headRank) .. ' ' .. int(headSeq)
  end
end

close()
-- A node that finds nothing is given something by those that hold more.
if #taken < LIMIT and not LAST_RANK and othersHold(number) then
  fields.wanted = NODE
  tell('new')
end
spread('ZADD', AGENDA, scores, 2)
told[6], told[7] = again, readiness()
finish(#taken > 0 and table.concat(taken, ' ') or nil)
return reply
