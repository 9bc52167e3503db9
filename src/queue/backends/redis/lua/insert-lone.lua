-- A lone submission that nobody stands by for, and that comes last in its lane: stored as by `insert-quick.lua`, without
-- the frame of the other scripts, the making of which takes longer than this. What is not as simple goes on below.
--
-- Arguments and answer as those of `grant.lua`.
local id, identity = ARGV[7], ARGV[8]
local v = call('HMGET', KEYS[1], 'format', 'seq', 'p', 'head', 'watchers', ARGV[3])
local rank, lane = match(identity, '^(%S+) %S+ %S+ (%S*)')
local rankNumber, seq = tonumber(rank or nil), tonumber(v[2] or nil)

-- Whether its place is the end of the list, and whether the list is new. As `tailOf` and `append`.
local list, isNew = base .. 'r:' .. (lane or ''), false
local function isLast()
  local last = redis.pcall('LINDEX', list, -1)
  isNew = not last
  local lastRank, lastSeq = match(type(last) == 'string' and last or '', '^(%S+) (%d+) %S+ ?%d*$')
  lastRank, lastSeq = tonumber(lastRank or nil), tonumber(lastSeq or nil)
  return isNew or (lastRank and (rankNumber > lastRank or (rankNumber == lastRank and seq + 1 > lastSeq)))
end

if v[1] == '1' and rankNumber and seq and not (v[6] and match(v[6], '^%d+') == ARGV[4])
  and call('HEXISTS', TASKS, id) == 0 and isLast() then
  now = tonumber(ARGV[1]) or serverNow()
  seq = seq + 1
  local seqText = int(seq)
  call('HSET', TASKS, id, seqText .. ' ' .. identity)
  enlist(seq, seqText, id)
  call('RPUSH', list, rank .. ' ' .. seqText .. ' ' .. id)
  -- As `closeLanes`.
  local head = tonumber(match(v[4] or '', '^%S+') or nil)
  if isNew then
    call('ZADD', base .. 'heads', 'LT', rank, 'r' .. lane)
  end
  if isNew and head and rankNumber <= head then
    call('HSET', KEYS[1], 'head', rank)
  end
  -- As `finish`.
  call('HSET', KEYS[1], 'p', int(math.max(0, (tonumber(v[3] or nil) or 0) + 1)), 'seq', seqText,
    ARGV[3], ARGV[4] .. ' ' .. int(now), ARGV[3] .. '=', cmsgpack.pack({ seq }))
  tellOthers(v[5], 'new')
  return { seq }
end
