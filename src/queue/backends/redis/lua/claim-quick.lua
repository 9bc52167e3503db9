-- The usual claims: of the next tasks there are, without a filter, of a queue without nodes and turns, where all were
-- never claimed before, stand among the plain lanes and go before all groups, and pass their gates. What most of a short
-- call costs is the making of the functions that come after this; such a claim needs none of them. Nothing is written
-- before it is known that it is of this kind.
local failure, answered = begin(true)
if failure then
  return failure
end
counters.answered = answered

local due, isLimited = tonumber(counters.due or nil), counters.quotas == '1'

-- Whether nothing in groups goes before this rank.
local function isBeforeGroups(rank)
  local _, first = unpack(sound('ZRANGE', base .. 'groups', 0, 0, 'WITHSCORES'))
  return (not first or rank < tonumber(first)) and sound('HLEN', base .. 'turns') == 0
    and #sound('ZRANGEBYSCORE', base .. 'opens', '-inf', int(now), 'LIMIT', 0, 1) == 0
end

-- What each task's state says of its limits, and how many start under each; nothing where not all are of the usual kind.
local function limitsOf(texts)
  local limits, starting = {}, {}
  for i = 1, #texts, 2 do
    local keys, pool = gateCounts.poolOf(texts[i] or '')
    if keys then
      starting[pool] = (starting[pool] or 0) + 1
      limits[#limits + 1] = ';' .. keys
    elseif keys == nil then
      limits[#limits + 1] = ''
    else
      return nil
    end
  end
  return limits, starting
end

if not answered and ARGV[10] == '' and ARGV[11] == '*' and ARGV[12] == '*' and ARGV[14] == ''
  and (isLimited or not counters.quotas) and (counters.holders or '') == '' and counters.paused ~= '1' and (not due or due > now) then
  local limit, text, ids, seqs, ready, head, list, lane = tonumber(ARGV[5]), counters.ready or '', {}, {}
  local endRank, endSeq, frontRank, frontSeq, from = match(text, '^@(%S+) (%d+) (%S+) (%d+)\n()')
  local last, lastSeq = tonumber(endRank or nil), tonumber(endSeq or nil)
  if last and from <= #text then
    -- All that is ready goes before the lanes and the front?
    local rank, seq = match(counters.head or '', '^(%S+) ?(%d*)')
    rank, seq = tonumber(rank or nil) or -math.huge, tonumber(seq or nil) or 0
    local front, first = tonumber(frontRank) or -math.huge, tonumber(frontSeq)
    if (rank > last or (rank == last and seq >= lastSeq)) and (front > last or (front == last and first >= lastSeq)) then
      local at, entryAt = from
      while #ids < limit do
        -- `rank seq id 0 lane`
        local first = find(text, ' ', at, true)
        local second = first and find(text, ' ', first + 1, true)
        local third = second and find(text, ' 0 ', second + 1, true)
        local lineEnd = third and find(text, '\n', third + 3, true)
        if not lineEnd then
          break
        end
        ids[#ids + 1], seqs[#seqs + 1] = sub(text, second + 1, third - 1), sub(text, first + 1, second - 1)
        entryAt, at = at, lineEnd + 1
      end
      if #ids == limit and (not isLimited or isBeforeGroups(tonumber(match(text, '^%S+', entryAt) or nil))) then
        ready = sub(text, 1, from - 1) .. sub(text, at)
      end
    end
  elseif isLimited then
    ready = nil
  elseif frontRank == 'inf' or (from or 1) > #text and (call('HGET', COUNTERS, 'front') or '') == '' then
    -- Nothing is ready: all there is may stand in one lane.
    local heads = call('ZRANGE', HEADS, 0, 1)
    lane = #heads == 1 and byte(heads[1]) == 114 and heads[1]
    list = lane and base .. 'r:' .. sub(lane, 2)
    local entries = list and redis.pcall('LRANGE', list, 0, limit) or {}
    if #entries <= limit and not entries.err then
      for i = 1, #entries do
        seqs[i], ids[i] = match(entries[i], '^%S+ (%d+) (%S+)$')
        if not ids[i] then
          break
        end
      end
      if #ids > 0 and #ids == #entries then
        ready, head = '@' .. (last and endRank .. ' ' .. endSeq or 'inf 0') .. ' inf 0\n', 'inf'
      end
    end
  end
  local names = {}
  for i = 1, ready and #ids or 0 do
    names[2 * i - 1], names[2 * i] = ids[i], '=' .. ids[i]
  end
  local texts = fetch(TASKS, names)
  for i = 1, ready and #ids or 0 do
    local identity = texts[2 * i - 1]
    if texts[2 * i] or not identity or find(identity, seqs[i] .. ' ', 1, true) ~= 1 then
      ready = nil
      break
    end
  end
  local limits, starting, entered, opens
  if ready and isLimited then
    limits, starting = limitsOf(texts)
    if limits and next(starting) then
      entered, opens = gateCounts.start(starting)
    end
    ready = limits and (entered or not next(starting)) and ready
  end
  if ready then
    local state, lease = firstState('')
    local score, states, scores, reply = tonumber(lease), {}, {}, { now, 0 }
    local stateHead, stateTail = match(state, '^(%S+ %S+ %S+ %S+ %S+ %S+ 0)(.*)$')
    score = score and int(ceil(score))
    local firsts = { [''] = state }
    for i = 1, #ids do
      local id, own = ids[i], limits and limits[i] or ''
      local first = firsts[own] or stateHead .. own .. stateTail
      firsts[own] = first
      states[2 * i - 1], states[2 * i] = names[2 * i], first
      if score then
        scores[2 * i - 1], scores[2 * i] = score, id
      end
      reply[4 * i - 1], reply[4 * i], reply[4 * i + 1], reply[4 * i + 2] = id, texts[2 * i - 1], '', ''
    end
    if lane then
      call('DEL', list)
      call('ZREM', HEADS, lane)
      fields.head = head
    end
    spread('HSET', TASKS, states, 2)
    spread('ZADD', AGENDA, scores, 2)
    if entered then
      gateCounts.write(entered)
      spread('ZADD', base .. 'opens', opens, 2)
    end
    if ready ~= counters.ready then
      fields.ready = ready
    end
    add('p', -#ids)
    add(ARGV[9], #ids)
    tell('updated')
    ids[0] = int(now)
    finish(table.concat(ids, ' ', 0))
    return reply
  end
end
