-- The usual submissions: tasks that are ready at once, that nobody has submitted before, without dependencies, and under
-- no limits but such as keep nobody back. They need none of the functions that come after this, the making of which would cost more than such a
-- call. Nothing is written before it is known that all of them are of this kind.
local failure, answered = begin()
if failure then
  return failure
end
counters.answered = answered

-- Where the tasks of a lane go: the name of the lane they wait in, and under which keys. False where more is to be known.
-- What they do under limits see `gates.laneFor`.
local placesOf, isFree = {}, (counters.holders or '') == ''

local function placesIn(lane)
  local quota, place = quotaAt(lane), nil
  if not quota then
    place = { name = lane }
  elseif isFree then
    local plain, keys = match(lane, LIMITED_LANE)
    place = plain and { name = plain, keys = keys }
  end
  placesOf[lane] = place or false
  return place
end

-- An identity's rank and lane, by the blanks between its words: a pattern takes twice as long.
local function rankAndLane(identity)
  local first = find(identity, ' ', 1, true)
  local second = first and find(identity, ' ', first + 1, true)
  local third = second and find(identity, ' ', second + 1, true)
  local after = third and find(identity, '[ \n]', third + 1)
  if after then
    return sub(identity, 1, first - 1), sub(identity, third + 1, after - 1)
  end
end

local count = tonumber(ARGV[6])

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
  local names, seen, isUsual, placed, ranks, coming = {}, {}, true, {}, {}, {}
  for i = 1, count do
    local id = ARGV[5 + 2 * i]
    local rank, lane = rankAndLane(ARGV[6 + 2 * i])
    local place = lane and (placesOf[lane] or placesIn(lane))
    if seen[id] or not place or not tonumber(rank) then
      isUsual = false
      break
    end
    names[i], seen[id], placed[i], ranks[i] = id, true, place, rank
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
      texts[2 * i - 1], texts[2 * i] = id, seqText .. ' ' .. ARGV[6 + 2 * i]
      entries[i] = bucketEntry(seqText, id)
      append(openLane(place.name), ranks[i], tonumber(ranks[i]), seqText, seq, id, 0)
    end
    add('p', count)
    spread('HSET', TASKS, texts, 2)
    appendToBuckets(entries, firstSeq)
    closeLanes()
    if limited then
      gateCounts.write(limited)
      fields.quotas = counters.quotas or '1'
    end
    fields.seq = int(seq)
    tell('new')
    finish(cmsgpack.pack({}))
    return {}
  end
end
