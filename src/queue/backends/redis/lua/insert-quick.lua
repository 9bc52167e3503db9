-- The usual submissions: tasks that are ready at once, that nobody has submitted before, without dependencies, and under
-- no limits but such as keep nobody back. They need none of the functions that come after this, the making of which would cost more than such a
-- call. Nothing is written before it is known that all of them are of this kind.
local failure, answered = begin()
if failure then
  return failure
end
counters.answered = answered

-- Where tasks of one lane and rank go: `rank createdAt runAt lane` tells it, which tasks of one batch share. What they
-- do under limits see `gates.laneFor`.
local places = {}

local function placeOf(head)
  local rank, lane = match(head, '^(%S+) %S+ %S+ (%S*)')
  local number = tonumber(rank or nil)
  if not number then
    return nil
  end
  local plain, keys
  if not find(lane, PLAIN_LANE) then
    plain, keys = match(lane, LIMITED_LANE)
    if not plain then
      return nil
    end
  end
  local place = { name = plain or lane, rank = rank, number = number, keys = keys }
  places[head] = place
  return place
end

-- `foreseen`: the sequence that the first identity begins with.
local count, foreseen = match(ARGV[6], '^(%d+) ?(%d*)$')
count, foreseen = tonumber(count), tonumber(foreseen)
local isForeseen = foreseen and foreseen == lastSeq() + 1 and 2 * count <= VALUES_MAX

-- Where an identity begins behind its sequence.
local function startOf(text)
  return foreseen and (find(text, ' ', 1, true) or 0) + 1 or 1
end

-- The identity of a task without its sequence.
local function identityAt(i)
  local text = ARGV[6 + 2 * i]
  return foreseen and sub(text, startOf(text)) or text
end

-- What the tasks say of their keys: max and rate by key. Nothing where more is special about them, or they do not agree.
local function rulesOfBatch()
  local most, rates, isAny = {}, {}, false
  for i = 8 + 2 * count, #ARGV, 2 do
    local special = ARGV[i]
    local runAt, at = match(special, '^(%S*) ()')
    if not runAt or (tonumber(runAt) or 0) > now then
      return nil
    end
    while at < #special do
      local keys, limit, rate, after = match(special, '^\ng (%S+) (%S+) (%S+) _ _()', at)
      if not keys then
        return nil
      end
      for key in string.gmatch(keys, '[^,]+') do
        if (most[key] or limit) ~= limit or (rates[key] or rate) ~= rate then
          return nil
        end
        most[key], rates[key] = limit, rate
      end
      at, isAny = after, true
    end
  end
  return { most = most, rates = rates, isAny = isAny }
end

local rules = not answered and ARGV[7] ~= '@' and rulesOfBatch()
if rules then
  local names, seen, isUsual, placed, coming = {}, {}, true, {}, {}
  for i = 1, count do
    local id, identity = ARGV[5 + 2 * i], ARGV[6 + 2 * i]
    local from = startOf(identity)
    local head = sub(identity, from, (find(identity, '\n', from, true) or 1) - 1)
    local place = places[head] or placeOf(head)
    if seen[id] or not place then
      isUsual = false
      break
    end
    names[i], seen[id], placed[i] = id, true, place
    if place.keys then
      coming[place.keys] = (coming[place.keys] or 0) + 1
    end
  end
  for _, text in ipairs(isUsual and fetch(TASKS, names) or {}) do
    isUsual = isUsual and not text
  end
  local limited = isUsual and (next(coming) or rules.isAny) and gateCounts.come(coming, rules)
  if isUsual and (limited or not (next(coming) or rules.isAny)) then
    local seq, texts, entries = lastSeq(), {}, {}
    local firstSeq = seq + 1
    for i = 1, count do
      seq = seq + 1
      local id, seqText, place = names[i], int(seq), placed[i]
      if not isForeseen then
        texts[2 * i - 1], texts[2 * i] = id, seqText .. ' ' .. identityAt(i)
      end
      entries[i] = bucketEntry(seqText, id)
      append(openLane(place.name), place.rank, place.number, seqText, seq, id, 0)
    end
    add('p', count)
    if isForeseen then
      call('HSET', TASKS, unpack(ARGV, 7, 6 + 2 * count))
    end
    spread('HSET', TASKS, texts, 2)
    appendToBuckets(entries, firstSeq)
    closeLanes()
    if limited then
      gateCounts.write(limited)
      fields.quotas = counters.quotas or '1'
    end
    fields.seq = int(seq)
    tell('new')
    finish(cmsgpack.pack({ seq }))
    return { seq }
  end
end
