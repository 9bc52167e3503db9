-- Gates: what tasks pass when they are claimed. The same rules as in `gate.ts`.
--
-- `gates`  hash: key -> `max used closedUntil paused rate tasks` and the slices of its window, `from:weight` each; '-' is
--          null, a rate `max/perMs`, `tasks` how many tasks name the key (see `addTasks`)
-- `opens`  the keys that time alone may open, by when
-- What cannot be read is an open gate.
local gates = {}

later(gates, function()
  gates.byKey, gates.woken, gates.reservations, gates.GATES, gates.OPENS = {}, {}, {}, base .. 'gates', base .. 'opens'
  -- Most gates are a number of places, and nothing else.
  local SIMPLE = '^(%d+) (%d+) 0 0 %- (%d+)$'
  local GATE, SLICES = '^(%S+) (%d+) (%d+) ([01]) (%S+) (%d+) ?(.*)$', 20
  -- No start weighs less. And so many tasks for each place of a gate are no crowd, and never more.
  local LIGHT, CROWD, CROWD_MAX = 0.001, 50, 5000

  -- Most gates count no starts, and share this.
  local NONE = {}
  local texts = {}

  -- Adds the keys of a quota to a list, once.
  function gates.gather(keys, quota)
    if keys[quota] then
      return
    end
    keys[quota] = true
    for _, key in ipairs(quota.keys) do
      keys[#keys + 1] = key
    end
  end

  -- Reads the gates of all these keys at once.
  function gates.prefetch(keys)
    local missing = {}
    for _, key in ipairs(keys) do
      if texts[key] == nil and not gates.byKey[key] then
        missing[#missing + 1], texts[key] = key, ''
      end
    end
    for from = 1, #missing, VALUES_MAX do
      for i, text in ipairs(sound('HMGET', gates.GATES, unpack(missing, from, min(from + VALUES_MAX - 1, #missing)))) do
        texts[missing[from + i - 1]] = text or ''
      end
    end
  end

  function gates.of(key)
    local gate = gates.byKey[key]
    if gate then
      return gate
    end
    local text = texts[key] or sound('HGET', gates.GATES, key) or ''
    local limit, used, tasks = match(text, SIMPLE)
    if limit then
      gate = { key = key, max = tonumber(limit), maxText = limit, used = tonumber(used), closed = 0, isKnown = true, isPaused = false,
        tasks = tonumber(tasks), from = NONE, weight = NONE, rate = '-' }
      gates.byKey[key] = gate
      return gate
    end
    local closed, paused, rate, starts
    limit, used, closed, paused, rate, tasks, starts = match(text, GATE)
    gate = { key = key, max = tonumber(limit or nil), used = tonumber(used) or 0, closed = tonumber(closed) or 0,
      isKnown = used ~= nil, isPaused = paused == '1', tasks = tonumber(tasks) or 0, from = NONE, weight = NONE, rate = '-' }
    gate.maxText = gate.max and limit or '-'
    if (rate or '-') ~= '-' or (starts or '') ~= '' then
      gates.setRate(gate, rate)
      for from, weight in string.gmatch(starts, '(%d+):(%S+)') do
        gate.from[#gate.from + 1], gate.weight[#gate.weight + 1] = tonumber(from), tonumber(weight) or 0
      end
    end
    gate.wasOpening = gate.closed > 0 and -1 or (gate.from[1] and gate.span and gate.from[1] + gate.span)
    gates.byKey[key] = gate
    return gate
  end

  function gates.setRate(gate, rate)
    if gate.from == NONE then
      gate.from, gate.weight = {}, {}
    end
    local most, per = match(rate, '^(%S+)/(%S+)$')
    gate.rate, gate.rateMax, gate.perMs = most and rate or '-', tonumber(most or nil), tonumber(per or nil)
    if gate.rateMax and gate.perMs then
      gate.sliceMs = ceil(gate.perMs / SLICES)
      gate.span = gate.sliceMs + gate.perMs
    else
      gate.rateMax = nil
    end
  end

  function gates.textOf(gate)
    local closed = gate.closed == 0 and '0' or int(gate.closed)
    local head = gate.maxText .. ' ' .. gate.used .. ' ' .. closed .. ' ' .. (gate.isPaused and '1' or '0') .. ' ' .. gate.rate .. ' ' .. gate.tasks
    if #gate.from == 0 then
      return head
    end
    local parts = { head }
    for i, from in ipairs(gate.from) do
      parts[i + 1] = int(from) .. ':' .. format('%.17g', gate.weight[i])
    end
    return table.concat(parts, ' ')
  end

  -- Forgets the starts that have left the window.
  local function prune(gate)
    local gone = 0
    while gate.from[gone + 1] and gate.from[gone + 1] + gate.span <= now do
      gone = gone + 1
    end
    if gone > 0 then
      for i = 1, #gate.from do
        gate.from[i], gate.weight[i] = gate.from[i + gone], gate.weight[i + gone]
      end
    end
  end

  -- Whether a start of this weight is kept back now; and until when, as it looks now, where time alone frees it.
  function gates.isShut(gate, weight)
    if gate.isPaused then
      return true
    elseif gate.closed > now then
      return true, gate.closed
    elseif gate.max and gate.used >= gate.max then
      return true
    elseif not gate.rateMax then
      return false
    end
    prune(gate)
    local sum, at = gate.reserved or 0, now
    for _, counted in ipairs(gate.weight) do
      sum = sum + counted
    end
    for i, from in ipairs(gate.from) do
      if sum + weight <= gate.rateMax then
        break
      end
      sum = sum - gate.weight[i]
      at = from + gate.span
    end
    return at > now, at
  end

  -- For how many there is a place, as far as that is counted.
  function gates.roomOf(key)
    local gate = gates.of(key)
    return gate.max and gate.max - gate.used or math.huge
  end

  -- The first of these keys that keeps a start back; `weights` is a text, '' where each weighs `otherwise`.
  function gates.obstacle(keys, weights, otherwise)
    local each = weights ~= '' and string.gmatch(weights, '[^,]+')
    for _, key in ipairs(keys) do
      local gate = gates.of(key)
      if gates.isShut(gate, each and tonumber(each()) or otherwise) then
        return key
      end
    end
  end

  -- Whether a node may hold a task under these keys ahead, with its places. What a rate counts is not reserved.
  function gates.areRoomy(keys)
    for _, key in ipairs(keys) do
      local gate = gates.of(key)
      if gate.rate ~= '-' or gate.isPaused or gate.closed > now or not leavesRoom(gate.max, gate.used) then
        return false
      end
    end
    return true
  end

  -- Where a ready task of this lane waits. Under limits that keep nobody back now and will hardly do so later, it waits
  -- like any other: it is claimed from there, or goes to its own lane when its gates keep it back. Where nodes hold ahead
  -- what waits in plain lanes, it waits there only if they may hold it.
  function gates.laneFor(lane)
    local quota = turns.quotaOf(lane)
    if not quota or not quota.plain then
      return lane
    elseif quota.isOpen == nil then
      quota.isOpen = not gates.obstacle(quota.keys, '', LIGHT) and ((counters.holders or '') == '' or gates.areRoomy(quota.keys))
    end
    if not quota.isOpen then
      return lane
    end
    for _, key in ipairs(quota.keys) do
      local gate = gates.of(key)
      if gate.max and gate.tasks > gate.max + min(CROWD * gate.max, CROWD_MAX) then
        return lane
      end
    end
    return quota.plain
  end

  local function count(gate, at, by)
    local slice, place = at - at % gate.sliceMs, 1
    while gate.from[place] and gate.from[place] < slice do
      place = place + 1
    end
    if gate.from[place] == slice then
      gate.weight[place] = max(0, gate.weight[place] + by)
    else
      table.insert(gate.from, place, slice)
      table.insert(gate.weight, place, max(0, by))
    end
  end

  -- The weights in a task's identity, '' for most. One pattern for all of it would try every way to read the others.
  function gates.weightsIn(text, lane)
    local _, at = find(text, lane, 1, true)
    return at and byte(text, at + 1) == 32 and match(text, '^(%S+)\n', at + 2) or ''
  end

  -- What a start of the task weighs for each of its keys, by the text of its identity.
  function gates.weightsOf(keys, text)
    local each = string.gmatch(match(text, '^%S+ %S+ %S+ %S+ %S+ (%S+)\n') or '', '[^,]+')
    local weights = {}
    for _, key in ipairs(keys) do
      weights[key] = tonumber(each() or nil) or 1
    end
    return weights
  end

  function gates.enter(keys, weights)
    local each = weights ~= '' and string.gmatch(weights, '[^,]+')
    for _, key in ipairs(keys) do
      local gate, weight = gates.of(key), each and tonumber(each()) or 1
      gate.used, gate.isChanged = gate.used + 1, true
      if gate.rateMax then
        prune(gate)
        count(gate, now, weight)
      end
    end
  end

  -- For the rest of a claim, what is put in order ahead counts as if it had entered.
  function gates.reserve(keys, weights)
    local each = weights ~= '' and string.gmatch(weights, '[^,]+')
    for _, key in ipairs(keys) do
      local gate = gates.of(key)
      gate.reserved, gate.places = (gate.reserved or 0) + (each and tonumber(each()) or 1), (gate.places or 0) + 1
      gate.used = gate.used + 1
      gates.reservations[#gates.reservations + 1] = gate
    end
  end

  function gates.endReservations()
    for _, gate in ipairs(gates.reservations) do
      gate.used, gate.places, gate.reserved = gate.used - (gate.places or 0), nil, nil
    end
    gates.reservations = {}
  end

  function gates.leave(keys, tasks)
    for _, key in ipairs(keys) do
      local gate = gates.of(key)
      gate.used, gate.isChanged = max(0, gate.used - tasks), true
      gates.woken[key] = true
    end
  end

  -- Tasks under these limits have ended, so many of each: nobody is where they stood.
  function gates.leaveAll(leaving)
    local keys = {}
    for limits in pairs(leaving) do
      for _, key in ipairs(turns.keysOf(limits)) do
        keys[#keys + 1] = key
      end
    end
    gates.prefetch(keys)
    for limits, count in pairs(leaving) do
      gates.leave(turns.keysOf(limits), count)
      gates.moveTasks(turns.keysOf(limits), -count)
    end
  end

  function gates.threadOf(key)
    return match(key, '^thread:(.*)$')
  end

  -- Tasks that name these keys come (back), or have ended: the gate of a thread that tasks share knows those that
  -- are stored, and others those that have not ended.
  function gates.addTasks(keys, tasks)
    for _, key in ipairs(keys) do
      local gate = gates.of(key)
      gate.tasks, gate.isChanged = max(0, gate.tasks + tasks), true
    end
  end

  function gates.moveTasks(keys, tasks)
    for _, key in ipairs(keys) do
      if sub(key, 1, 7) ~= 'thread:' then
        local gate = gates.of(key)
        gate.tasks, gate.isChanged = max(0, gate.tasks + tasks), true
      end
    end
  end

  -- Nobody names it, and nobody set it apart.
  function gates.isIdle(gate)
    return gate.tasks == 0 and not gate.isPaused and not gates.opensAt(gate)
  end

  -- Puts right what a start weighed: `by` more or less than was reserved.
  function gates.correct(key, startedAt, by)
    local gate = gates.of(key)
    if gate.rateMax and by ~= 0 then
      count(gate, startedAt, by)
      gate.isChanged, gates.woken[key] = true, true
    end
  end

  -- Nodes give back all they hold: some of it may be kept back now. What is held stands in its places, but for those of
  -- agents and types.
  local function recall(gate)
    if (counters.holders or '') ~= '' and (gate.used > 0 or sub(gate.key, 1, 1) == '@') then
      fields.recall = call('HGET', COUNTERS, 'holder') or '0'
      tell('recall')
    end
  end

  function gates.close(key, untilTime)
    local gate = gates.of(key)
    -- Nobody holds anything under a key that is closed already: many calls are refused at a time.
    if gate.closed <= now then
      recall(gate)
    end
    gate.closed, gate.isChanged = max(gate.closed, ceil(untilTime)), true
  end

  -- Sets what is given: max, rate ('-' none), paused ('1' or '0'), the end of a closing; '_' leaves as it is.
  function gates.set(key, limit, rate, paused, closed)
    local gate = gates.of(key)
    local most, pace, wasClosed, wasPaused = gate.max or math.huge, gate.rate, gate.closed, gate.isPaused
    if limit ~= '_' then
      gate.max = tonumber(limit)
      gate.maxText = gate.max and format('%.17g', gate.max) or '-'
      gates.setRate(gate, rate)
    end
    if closed ~= '_' then
      gate.closed = ceil(tonumber(closed))
    end
    if paused ~= '_' then
      gate.isPaused = paused == '1'
      if sub(key, 1, 1) == '@' then
        gates.pauseKind(key, gate.isPaused)
      end
    end
    local isTighter = (gate.max or math.huge) < min(most, gate.used) or (gate.rate ~= pace and gate.rate ~= '-')
      or (gate.closed > now and wasClosed <= now) or (gate.isPaused and not wasPaused)
    if isTighter then
      recall(gate)
    end
    gate.isChanged, gates.woken[key] = true, true
  end

  -- Paused agents and types are told by the counters, so that claims of others pay nothing.
  function gates.pauseKind(key, isPaused)
    local known = fields.quotas or counters.quotas or '1'
    local from, to = find(known .. '\n', '\n' .. key .. '\n', 1, true)
    if isPaused and not from then
      known = known .. '\n' .. key
    elseif not isPaused and from then
      known = sub(known, 1, from - 1) .. sub(known, to)
    end
    counters.quotas, fields.quotas = known, known
  end

  -- When somebody that the gate keeps back may pass by time alone.
  function gates.opensAt(gate)
    if gate.closed > now then
      return gate.closed
    elseif gate.rateMax then
      prune(gate)
      return gate.from[1] and gate.from[1] + gate.span
    end
  end

  -- Writes the gates that changed, and lets on what they kept back.
  function gates.save()
    local values, opens, shut = {}, {}, {}
    for key, gate in pairs(gates.byKey) do
      if gate.isChanged then
        gate.isChanged = false
        values[#values + 1] = key
        values[#values + 1] = gates.textOf(gate)
        local at, before = gates.opensAt(gate), gate.wasOpening
        if before and before <= now and gate.closed <= now then
          -- That time has come and no claim has looked yet: after this none is told of it.
          gates.woken[key] = true
        end
        gate.wasOpening = at
        if at and at ~= before then
          opens[#opens + 1] = int(at)
          opens[#opens + 1] = key
        elseif before and not at then
          shut[#shut + 1] = key
        end
      end
    end
    if #values > 0 then
      if not counters.quotas then
        counters.quotas, fields.quotas = '1', '1'
      end
      sound('HLEN', gates.GATES)
      spread('HSET', gates.GATES, values, 2)
    end
    if #opens + #shut > 0 then
      sound('ZCARD', gates.OPENS)
      spread('ZADD', gates.OPENS, opens, 2)
      spread('ZREM', gates.OPENS, shut)
    end
    for key in pairs(gates.woken) do
      turns.unpark(key)
    end
    gates.woken = {}
  end

  -- Time has opened some of them, or lets another start fall out of a window.
  function gates.openDue()
    local due = sound('ZRANGEBYSCORE', gates.OPENS, '-inf', int(now), 'LIMIT', 0, 1000)
    for _, key in ipairs(due) do
      local gate = gates.of(key)
      gate.isChanged, gate.wasOpening, gates.woken[key] = gate.isKnown, nil, true
    end
    spread('ZREM', gates.OPENS, due)
    return #due > 0
  end
end)
