-- Where a hold takes entries from: what is ready, what lies in front, and the lanes. Each source stands at its next entry,
-- and nothing is removed yet.
local HEADS_STEP, PORTION_FIRST, PORTION_MAX = 64, 16, 256
local isFiltered = leavesLanesOut()

local function laneMatches(lane)
  return not isFiltered or matchesFilter(lane)
end

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
