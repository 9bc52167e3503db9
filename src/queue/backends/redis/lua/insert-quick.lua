-- The usual submissions: tasks that are ready at once, that nobody has submitted before, without limits and
-- dependencies. They need none of the functions that come after this, the making of which would cost more than such a
-- call. Nothing is written before it is known that all of them are of this kind.
local failure, answered = begin()
if failure then
  return failure
end
counters.answered = answered

-- Where tasks of one lane and rank go: `rank createdAt runAt lane` tells it, which tasks of one batch share.
local places = {}

local function placeOf(head)
  local rank, lane = match(head, '^(%S+) %S+ %S+ (%S*)')
  local place = lane and tonumber(rank) and not turns.quotaOf(lane) and { name = lane, rank = rank, number = tonumber(rank) }
  places[head] = place or false
  return place
end

local count = tonumber(ARGV[6])
if not answered and ARGV[7] ~= '@' and #ARGV == 6 + 2 * count then
  local names, seen, isUsual, placed = {}, {}, true, {}
  for i = 1, count do
    local id, identity = ARGV[5 + 2 * i], ARGV[6 + 2 * i]
    local head = sub(identity, 1, (find(identity, '\n', 1, true) or 1) - 1)
    local place = places[head] or placeOf(head)
    if seen[id] or not place then
      isUsual = false
      break
    end
    names[i], seen[id], placed[i] = id, true, place
  end
  for _, text in ipairs(isUsual and fetch(TASKS, names) or {}) do
    isUsual = isUsual and not text
  end
  if isUsual then
    local seq, texts, entries = lastSeq(), {}, {}
    local firstSeq = seq + 1
    for i = 1, count do
      seq = seq + 1
      local id, seqText, place = names[i], int(seq), placed[i]
      texts[2 * i - 1], texts[2 * i] = id, seqText .. ' ' .. ARGV[6 + 2 * i]
      entries[i] = bucketEntry(seqText, id)
      append(openLane(place.name), place.rank, place.number, seqText, seq, id, 0)
    end
    add('p', count)
    spread('HSET', TASKS, texts, 2)
    appendToBuckets(entries, firstSeq)
    closeLanes()
    fields.seq = int(seq)
    tell('new')
    finish(cmsgpack.pack({}))
    return {}
  end
end
