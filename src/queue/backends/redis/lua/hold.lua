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
-- `hold-begin.lua` has begun.
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

local LOOKED_AT_MAX, KEPT_BACK_MAX = 2000, 500
local RANK_AND_LANE = '^%S+ (%S+) %S+ %S+ (%S*)'
local taken, scores, looked, again = {}, {}, 0, 0
local heldScore = int(HELD + number)

-- Under limits a task is held where there is room for that, and others go to their own lanes. Nobody takes a place before
-- another that was kept back and needs it too.
local keptBack, shut = {}, {}

local function isShut(keys)
  for _, key in ipairs(keys) do
    if shut[key] then
      return true
    end
  end
  return not gates.areRoomy(keys)
end

local function isKeptBack(id, seq, place, text)
  local rank, lane = match(text, RANK_AND_LANE)
  local quota = lane and turns.quotaOf(lane)
  if not quota then
    return false
  elseif not isShut(quota.keys) then
    gates.enter(quota.keys, '')
    return false
  end
  for _, key in ipairs(quota.keys) do
    shut[key] = true
  end
  keptBack[#keptBack + 1] = { lane = lane, rank = rank, seq = seq, id = id, place = tonumber(place) or 0 }
  return true
end

-- Most often there is room for all of them; then their gates are changed where they stand.
local function enterAll(texts, held)
  local pools = {}
  for i, isHere in ipairs(held) do
    local keys, pool
    if isHere then
      keys, pool = gateCounts.poolOf(texts[2 * i - 1])
    end
    if keys then
      pools[pool] = (pools[pool] or 0) + 1
    elseif keys == false then
      return false
    end
  end
  -- What was read before may not be what stands there then.
  local values = not next(gates.byKey) and gateCounts.hold(pools)
  if values then
    gateCounts.write(values)
  end
  return values
end

local function take()
  local want = LIMIT - #taken
  local ids, seqs, places, lanes, count = pick(want)
  local texts, held = fetchBoth(ids), {}
  for i = 1, count do
    held[i] = holds(ids[i], seqs[i], places[i], texts[2 * i - 1], texts[2 * i]) or false
  end
  local areAllIn = not counters.quotas or enterAll(texts, held)
  for i = 1, count do
    local id, text, state = ids[i], texts[2 * i - 1], texts[2 * i]
    if not held[i] then
      forget(lanes[i])
    elseif areAllIn or not isKeptBack(id, seqs[i], places[i], text) then
      local size = #taken
      taken[size + 1], scores[2 * size + 1], scores[2 * size + 2] = id, heldScore, id
      answer(id, text, state)
    end
  end
  looked = looked + count
  return count == want
end

openTexts()
while take() and #taken < LIMIT do
  if #keptBack >= KEPT_BACK_MAX or (#taken == 0 and looked >= LOOKED_AT_MAX) then
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
if counters.quotas then
  appendEntries(keptBack)
  gates.save()
end
-- A node that finds nothing is given something by those that hold more.
if #taken < LIMIT and not LAST_RANK and othersHold(number) then
  fields.wanted = NODE
  tell('new')
end
spread('ZADD', AGENDA, scores, 2)
told[6], told[7] = again, readiness()
finish(#taken > 0 and table.concat(taken, ' ') or nil)
return reply
