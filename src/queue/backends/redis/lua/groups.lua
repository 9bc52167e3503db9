-- Claims among groups of lanes (see `turns.lua`). Nothing that is read here leaves its lane before it is claimed.
--
-- Of the claim it needs, as fields of `groups`: `matches` a lane's name, `holds` an entry (the task, true for one that
-- never ran, or nothing), `forget` an entry that does not.
local groups = {}

later(groups, function()
  groups.opened, groups.byId, groups.parked, groups.gone, groups.looked, groups.order, groups.runners, groups.shut = {}, {}, {}, {}, 0, {}, {}, {}
  local TURN, GROUPS_STEP, HEADS_STEP, PORTION_MIN, ENTRIES_MAX, LOOKED_MAX = 1000000, 64, 6, 8, 128, 2000
  -- No start weighs less.
  local LIGHT = 0.001

  -- Whose turn starts first, then who goes first.
  local function precedes(a, b)
    if a.turn ~= b.turn then
      return a.turn < b.turn
    end
    return a.rank < b.rank or (a.rank == b.rank and a.seqNumber < b.seqNumber)
  end

  -- The first stands last: there it is quickly taken and put back.
  local function sortIn(order, one)
    local at = #order
    while at > 0 and precedes(order[at], one) do
      order[at + 1] = order[at]
      at = at - 1
    end
    order[at + 1] = one
  end

  -- Reads the next entries of a lane; false when there are none.
  local function readMore(lane)
    local from = lane.before + #lane.entries
    lane.before, lane.at, lane.entries = from, 0, {}
    if lane.isOver or groups.looked >= LOOKED_MAX then
      return false
    end
    local to = from + lane.portion - 1
    local ids = {}
    if lane.kind == 'r' then
      for i, entry in ipairs(sound('LRANGE', lane.key, from, to)) do
        local rank, seq, id, place = match(entry, ENTRY)
        lane.entries[i], ids[i] = { tonumber(rank or nil), seq, id, place }, id or ''
      end
    else
      local values = sound('ZRANGE', lane.key, from, to, 'WITHSCORES')
      for i = 1, #values, 2 do
        local seq, id, place = match(values[i], SIDE_ENTRY)
        lane.entries[#ids + 1] = { tonumber(values[i + 1]), seq, id, place }
        ids[#ids + 1] = id or ''
      end
    end
    groups.looked = groups.looked + #ids
    lane.isOver = #ids < lane.portion
    lane.portion = min(2 * lane.portion, ENTRIES_MAX)
    lane.texts = fetchBoth(ids)
    return #ids > 0
  end

  -- Goes on to the next entry of a lane that holds; false when there is none.
  local function advance(lane)
    lane.isTaken = false
    while lane.at < #lane.entries or readMore(lane) do
      lane.at = lane.at + 1
      local entry, text, state = lane.entries[lane.at], lane.texts[2 * lane.at - 1], lane.texts[2 * lane.at]
      local task = entry[1] and entry[3] and text and groups.holds(entry[3], entry[2], entry[4], text, state)
      if task then
        lane.rank, lane.seqNumber, lane.id, lane.text, lane.task = entry[1], tonumber(entry[2]), entry[3], text, task
        lane.weights = #lane.quota.keys > 0 and gates.weightsIn(text, lane.name) or ''
        return true
      end
      groups.forget(lane.name)
    end
    lane.isDone = true
    return false
  end

  -- How many entries of a lane are read first: seldom more than its gates let pass, or than are wanted of each.
  local function portionOf(group, quota)
    local most = group.isFair and 2 or max(2, min(PORTION_MIN, groups.want), ceil(groups.want / 3 / #groups.opened))
    for _, key in ipairs(quota.keys) do
      most = min(most, gates.roomOf(key))
    end
    return max(1, min(most, groups.want))
  end

  local function openLane(group, head, score)
    local name = sub(head, 2)
    local quota = turns.quotaOf(name)
    if not quota then
      call('ZREM', base .. 'heads:' .. group.id, head)
    elseif groups.matches(name) and not gates.obstacle(quota.keys, '', LIGHT) then
      local kind = sub(head, 1, 1)
      local lane = { head = head, name = name, quota = quota, score = score, kind = kind,
        key = base .. kind .. ':' .. name, turn = 0,
        before = 0, at = 0, entries = {}, portion = portionOf(group, quota) }
      group.lanes[#group.lanes + 1] = lane
      if advance(lane) then
        sortIn(group.order, lane)
      end
    end
  end

  -- Members of a sorted set, a step at a time.
  local function streamOf(key, step)
    return { key = key, step = step, at = 1, asked = 0, values = {} }
  end

  local function headOf(stream)
    if not stream.values[stream.at] and not stream.isOver then
      stream.values = sound('ZRANGE', stream.key, stream.asked, stream.asked + stream.step - 1, 'WITHSCORES')
      stream.at, stream.asked = 1, stream.asked + stream.step
      stream.isOver = #stream.values < 2 * stream.step
    end
    return stream.values[stream.at], tonumber(stream.values[stream.at + 1] or nil)
  end

  -- The next entry of a group that its gates let pass; each lane is looked into only when it may be the first.
  local function peek(group)
    local order = group.order
    -- All lanes of a group without a fair key are under the same limits.
    if not group.isFair and gates.obstacle(group.keys, '', LIGHT) then
      return nil
    end
    while true do
      local lane = order[#order]
      local head, score = headOf(group.heads)
      if lane and lane.isTaken then
        order[#order] = nil
        if advance(lane) then
          sortIn(order, lane)
        end
      elseif lane and (not head or lane.rank < (score or -math.huge)) then
        -- Who is kept back keeps back its whole lane: the list, and what came out of order.
        local isShut = groups.shut[lane.name] or gates.obstacle(lane.quota.keys, lane.weights, 1)
        if not isShut then
          group.rank, group.seqNumber = lane.rank, lane.seqNumber
          return lane
        end
        groups.shut[lane.name] = true
        order[#order] = nil
      elseif head then
        group.heads.at = group.heads.at + 2
        openLane(group, head, score)
      else
        return nil
      end
    end
  end

  local function openGroup(id, isFair, turn)
    if groups.byId[id] then
      return nil
    end
    local group = { id = id, isFair = isFair, turn = turn, keys = turns.keysOf(';' .. id), order = {}, lanes = {}, heads = streamOf(base .. 'heads:' .. id, HEADS_STEP) }
    groups.byId[id] = group
    groups.opened[#groups.opened + 1] = group
    return group
  end

  -- The first among those that are open; what was taken from since is put in its place again.
  local function firstOf(order)
    while true do
      local group = order[#order]
      if not group then
        return nil
      end
      local before, lane = group.rank, peek(group)
      if lane and (#order == 1 or (group.rank == before and not group.isServed)) then
        group.isServed = false
        return group, lane
      end
      group.isServed = false
      order[#order] = nil
      if lane then
        sortIn(order, group)
      end
    end
  end

  -- The next of the groups without a fair key.
  local function nextOwn()
    while true do
      local group, lane = firstOf(groups.order)
      local id, score = headOf(groups.stream)
      if group and (not id or group.rank < score) then
        return group, lane
      elseif not id then
        return nil
      end
      groups.stream.at = groups.stream.at + 2
      local key = gates.obstacle(turns.keysOf(';' .. id), '', LIGHT)
      if key and not groups.isAhead then
        groups.parked[id] = key
      elseif not key then
        group = openGroup(id, false, 0)
        if group then
          group.score = score
        end
        if group and peek(group) then
          sortIn(groups.order, group)
        end
      end
    end
  end

  -- The next of the backlogs that take turns.
  local function nextFair()
    while true do
      local group, lane = firstOf(groups.runners)
      local member, start = headOf(groups.line)
      local bound = member and (tonumber(sub(member, 1, 16)) or 0) - turns.RANK_OFFSET
      if group and (not member or group.turn < start or (group.turn == start and group.rank < bound)) then
        return group, lane
      elseif not member then
        return nil
      end
      groups.line.at = groups.line.at + 2
      group = sub(member, 17, 17) == '*' and openGroup(sub(member, 17), true, max(start, turns.read()))
      if group then
        group.member, group.start = member, start
        if peek(group) then
          sortIn(groups.runners, group)
        end
      else
        groups.gone[#groups.gone + 1] = member
      end
    end
  end

  -- A turn begins where `one` stands, and ends so much later.
  local function serve(start, weight)
    turns.at = start
    turns.isMoved = true
    return start + max(1, floor(TURN / weight + 0.5))
  end

  -- Backlogs that were passed over start no earlier than the others.
  local function catchUp()
    local at = turns.read()
    for _, member in ipairs(sound('ZRANGEBYSCORE', turns.BACKLOGS, '-inf', '(' .. int(at), 'LIMIT', 0, 1000)) do
      local group = sub(member, 17)
      local _, rank = turns.known(group)
      sound('ZREM', turns.BACKLOGS, member)
      if rank then
        turns.lineUp(group, at, rank)
      end
    end
    sound('ZREMRANGEBYSCORE', turns.ENDS, '-inf', int(at))
  end

  function groups.begin(want)
    turns.relist()
    groups.isChanged = gates.openDue()
    gates.save()
    groups.want = want
    groups.stream, groups.line = streamOf(turns.GROUPS, GROUPS_STEP), streamOf(turns.BACKLOGS, GROUPS_STEP)
    groups.isFair = sound('HLEN', turns.STARTS) > 0
    if groups.isFair then
      catchUp()
    end
  end

  -- What goes next: a lane of a group, true for the plain lanes (whose next entry is `plain`), or nothing.
  function groups.next(plain)
    local own, ownLane = groups.own, groups.ownLane
    if own == nil then
      own, ownLane = nextOwn()
    end
    groups.own = nil
    local isPlain = plain and (not own or plain.rank < own.rank or (plain.rank == own.rank and plain.seqNumber < own.seqNumber))
    if not groups.isFair then
      return isPlain or ownLane, own
    end
    local first = isPlain and plain or own
    local group, lane = nextFair()
    local turn = max(turns.at, turns.own)
    if group and (not first or group.turn < turn or (group.turn == turn and
      (group.rank < first.rank or (group.rank == first.rank and group.seqNumber < first.seqNumber)))) then
      return lane, group
    end
    return isPlain or ownLane, own
  end

  -- Below which rank nothing waits in groups without a fair key.
  function groups.firstRank()
    local _, rank = headOf(groups.stream)
    return rank or math.huge
  end

  -- What comes next is not claimed, but may pass at the same time as what was taken before.
  function groups.lookAhead()
    groups.isAhead = true
  end

  function groups.takenAhead(lane, group)
    gates.reserve(lane.quota.keys, lane.weights)
    lane.isTaken, lane.isTouched, group.isServed = true, true, true
  end

  -- Whether anything but the plain lanes may be next, or turns must be counted.
  function groups.areWaiting()
    if groups.isFair then
      return true
    end
    groups.own, groups.ownLane = nextOwn()
    return groups.own ~= nil
  end

  -- The plain lanes were served.
  function groups.servedPlain()
    if groups.isFair then
      turns.own = serve(max(turns.read(), turns.own), 1)
    end
  end

  -- The lane's entry was claimed.
  function groups.taken(lane, group)
    gates.enter(lane.quota.keys, lane.weights)
    lane.isTaken, lane.isTouched, group.isServed = true, true, true
    if group.isFair then
      group.turn = serve(group.turn, lane.quota.weight)
    else
      groups.servedPlain()
    end
  end

  -- Cuts off what was claimed, and what did not hold. Returns the rank from which on something may wait, or nothing.
  local function closeLane(group, lane)
    local isHere = not lane.isDone and not lane.isTaken
    local cut = lane.before + lane.at - (isHere and 1 or 0)
    if cut > 0 and lane.kind == 'r' then
      call('LTRIM', lane.key, cut, -1)
    elseif cut > 0 then
      call('ZREMRANGEBYRANK', lane.key, 0, cut - 1)
    end
    if not isHere and lane.at == #lane.entries and (lane.isOver or call('EXISTS', lane.key) == 0) then
      call('ZREM', base .. 'heads:' .. group.id, lane.head)
    else
      local entry = lane.entries[lane.at + 1]
      local rank = isHere and lane.rank or (entry and entry[1]) or lane.rank
      if rank and rank ~= lane.score then
        call('ZADD', base .. 'heads:' .. group.id, format('%.17g', rank), lane.head)
      end
    end
    groups.isChanged = groups.isChanged or cut > 0
  end

  -- The gates that keep back all lanes of a group, each once; nothing where one lane may pass.
  local function keysAgainst(heads)
    local keys, seen = {}, {}
    for i = 1, #heads, 2 do
      local quota = turns.quotaOf(sub(heads[i], 2))
      local key = quota and gates.obstacle(quota.keys, '', LIGHT)
      if quota and not key then
        return nil
      elseif key and not seen[key] then
        seen[key] = true
        keys[#keys + 1] = key
      end
    end
    return #keys > 0 and keys or nil
  end

  local function park(id, key)
    groups.isChanged, turns.areParked = true, true
    sound('ZADD', turns.PARKED, 0, key .. '|' .. id)
  end

  local function closeOwn(group)
    local heads = sound('ZRANGE', group.heads.key, 0, 0, 'WITHSCORES')
    if #heads == 0 then
      groups.isChanged = true
      call('ZREM', turns.GROUPS, group.id)
      return
    end
    local key = gates.obstacle(group.keys, '', LIGHT)
    if key then
      call('ZREM', turns.GROUPS, group.id)
      park(group.id, key)
    elseif tonumber(heads[2]) ~= group.score then
      call('ZADD', turns.GROUPS, heads[2], group.id)
    end
  end

  local function closeFair(group)
    local heads = sound('ZRANGE', group.heads.key, 0, -1, 'WITHSCORES')
    if #heads == 0 then
      groups.isChanged = true
      call('ZREM', turns.BACKLOGS, group.member)
      sound('HDEL', turns.STARTS, group.id)
      if group.turn > turns.read() then
        sound('ZADD', turns.ENDS, int(group.turn), group.id)
      end
      return
    end
    local keys = keysAgainst(heads)
    local isSame = group.turn == group.start and turns.member(group.id, heads[2]) == group.member
    if not keys and isSame then
      return
    end
    call('ZREM', turns.BACKLOGS, group.member)
    if not keys then
      return turns.lineUp(group.id, group.turn, heads[2])
    end
    sound('HSET', turns.STARTS, group.id, int(group.turn) .. ' ' .. heads[2])
    for _, key in ipairs(keys) do
      park(group.id, key)
    end
  end

  -- Writes where everything stands now.
  function groups.close()
    gates.endReservations()
    for id, key in pairs(groups.parked) do
      call('ZREM', turns.GROUPS, id)
      park(id, key)
    end
    for _, group in ipairs(groups.opened) do
      for _, lane in ipairs(group.lanes) do
        closeLane(group, lane)
      end
      if group.isFair then
        closeFair(group)
      else
        closeOwn(group)
      end
    end
    spread('ZREM', turns.BACKLOGS, groups.gone)
    if turns.isMoved then
      fields.turn = int(turns.at) .. ' ' .. int(turns.own)
    end
    gates.save()
  end
end)
