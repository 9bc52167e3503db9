-- What is ready waits in lanes: all tasks of one priority, agent type and agent. Here is how it comes there.
--
-- `r:<lane>`  a list of `rank seq id place` in ascending order: the usual way in is at its end
-- `z:<lane>`  a sorted set for what comes out of order: score rank, member `seq(16 digits) id place`
-- `heads`     a sorted set of 'r'/'z' .. lane by the rank of its first entry, or a lower one
-- `stale`     how many entries of a list are not valid any more (see `place`); a list of such only is removed
--
-- Taken from the lanes ahead, as fields of the counters:
-- `ready`  the next entries of all lanes in order, a line `rank seq id place lane` for each; before them a line
--          `@rank seq rank seq`: where they end, or more, and where `front` begins, or less (inf: nothing is there)
-- `front`  what comes after them: for each lane `@lane` and its entries, a line for each
-- `head`   the lowest score in `heads`, or a lower one, and the sequence that was the last there. What in `ready` comes
--          before it and before `front` is what goes next.
local ENTRY = '^(%S+) (%d+) (%S+) ?(%d*)$'
local SIDE_ENTRY = '^(%d+) (%S+) ?(%d*)$'

local function withPlace(entry, place)
  return place > 0 and entry .. ' ' .. place or entry
end

local function sideEntry(seq, id, place)
  return withPlace(format('%016.0f', tonumber(seq)) .. ' ' .. id, place)
end

-- Where the lane's first entries are told of.
local function headsOf(lane)
  local quota = turns.quotaOf(lane)
  return quota and base .. 'heads:' .. quota.group or HEADS
end

-- Rank and sequence of a list's last entry; nothing of an empty list, the highest of one that cannot be read.
local function tailOf(list)
  local last = redis.pcall('LINDEX', list, -1)
  if not last then
    return nil
  end
  local rank, seq = match(type(last) == 'string' and last or '', '^(%S+) (%d+) %S')
  return tonumber(rank or nil) or math.huge, tonumber(seq or nil) or math.huge
end

-- Lanes that are being written, each with where it ends: what is appended, its items, is written by `closeLanes`.
local openLanes = {}

local function openLane(name)
  local lane = openLanes[name]
  if not lane then
    local list = base .. 'r:' .. name
    local rank, seq = tailOf(list)
    lane = { list = list, isNew = not rank, rank = rank or -math.huge, seq = seq or 0, first = false, sides = false }
    openLanes[name] = lane
  end
  return lane
end

-- Adds a ready task, best in ascending order. Rank and sequence are given as text and as numbers.
local function append(lane, rank, rankNumber, seq, seqNumber, id, place)
  if rankNumber > lane.rank or (rankNumber == lane.rank and seqNumber > lane.seq) then
    lane.rank, lane.seq = rankNumber, seqNumber
    local entry = rank .. ' ' .. seq .. ' ' .. id
    lane[#lane + 1] = place == 0 and entry or withPlace(entry, place)
    lane.first = lane.first or rank
  else
    local sides = lane.sides or {}
    lane.sides = sides
    sides[#sides + 1] = rank
    sides[#sides + 1] = sideEntry(seq, id, place)
    if not lane.lowest or rankNumber < tonumber(lane.lowest) then
      lane.lowest = rank
    end
  end
end

local function closeLanes()
  local heads = {}
  for name, lane in pairs(openLanes) do
    local quota = turns.quotaOf(name)
    local own = quota and {} or heads
    if lane.first then
      spread('RPUSH', lane.list, lane)
    end
    if lane.isNew and lane.first then
      own[#own + 1] = lane.first
      own[#own + 1] = 'r' .. name
    end
    if lane.sides then
      spread('ZADD', base .. 'z:' .. name, lane.sides, 2)
      own[#own + 1] = lane.lowest
      own[#own + 1] = 'z' .. name
    end
    if quota and #own > 0 then
      turns.arrive(quota, own)
    end
  end
  openLanes = {}
  local head = tonumber(match(fields.head or counters.head or '', '^%S+') or nil)
  for from = 1, #heads, VALUES_MAX do
    call('ZADD', HEADS, 'LT', unpack(heads, from, min(from + VALUES_MAX - 1, #heads)))
  end
  for i = 1, #heads, 2 do
    if head and tonumber(heads[i]) <= head then
      head, fields.head = tonumber(heads[i]), heads[i]
    end
  end
end
