-- The usual submissions: tasks that are ready at once, that nobody has submitted before, without limits and
-- dependencies. They need none of the functions that come after this, the making of which would cost more than such a
-- call. Nothing is written before it is known that all of them are of this kind.
local failure, answered = begin()
if failure then
  return failure
end
counters.answered = answered

local count = tonumber(ARGV[6])
if not answered and ARGV[7] ~= '@' and #ARGV == 6 + 2 * count then
  local names, seen, isUsual, lanes, ranks = {}, {}, true, {}, {}
  for i = 1, count do
    local id = ARGV[5 + 2 * i]
    ranks[i], lanes[i] = match(ARGV[6 + 2 * i], '^(%S+) %S+ %S+ (%S*)')
    if seen[id] or turns.quotaOf(lanes[i]) then
      isUsual = false
      break
    end
    names[i], seen[id] = id, true
  end
  for _, text in ipairs(isUsual and fetch(TASKS, names) or {}) do
    isUsual = isUsual and not text
  end
  if isUsual then
    local seq, texts, entries = lastSeq(), {}, {}
    local firstSeq = seq + 1
    for i = 1, count do
      seq = seq + 1
      local id, seqText, rank = names[i], int(seq), ranks[i]
      texts[2 * i - 1], texts[2 * i] = id, seqText .. ' ' .. ARGV[6 + 2 * i]
      entries[i] = bucketEntry(seqText, id)
      append(openLane(lanes[i]), rank, tonumber(rank), seqText, seq, id, 0)
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
