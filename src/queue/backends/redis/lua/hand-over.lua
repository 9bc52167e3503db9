-- Stores a task as its first claim makes it, where nothing else is ready: what `insert` and then `claim` would do.
--
-- ARGV[5]      the id
-- ARGV[6…9]    the owner as a field, the owner as JSON, the end of the lease or `+ms` from now, the status
-- ARGV[10]     the task's identity without the sequence
-- Returns      the time and the task's sequence; nothing where it is not as simple as that: then nothing is written
-- Guarantee    sent again, the same is answered.
--
-- Who submits to an idle worker waits for just this call. It does without the frame of the other scripts, the making
-- of which took longer than all that is done here.
local id, to = ARGV[5], ARGV[9]
local v = call('HMGET', KEYS[1], 'format', 'paused', 'quotas', 'holders', 'due', 'ready', 'front', 'seq', 'watchers', to, ARGV[3])
if v[11] and match(v[11], '^%d+') == ARGV[4] then
  local at, given = match(call('HGET', KEYS[1], ARGV[3] .. '=') or '', '^(%d+) (%d+)$')
  return { tonumber(at), tonumber(given) }
end
now = tonumber(ARGV[1]) or serverNow()
local due, ready = v[5], v[6] or ''
-- Without counters but with tasks it is found out by the others.
local seq = tonumber(v[8] or nil) or (call('EXISTS', base .. 'buckets') == 0 and 0)

-- A claim has to look at tasks alone: not at groups of lanes, at nodes that hold some, at what falls due. And nothing
-- is ready, see `lanes.lua`.
local isAlone = v[1] == '1' and v[2] ~= '1' and not v[3] and (v[4] or '') == '' and seq
  and (not due or due == '' or (tonumber(due) or 0) > now)
  and (ready == '' or find(ready, '^@[^\n]*\n$'))
  and (find(ready, '^@%S+ %S+ inf ') or (v[7] or '') == '')
  and call('EXISTS', base .. 'heads') == 0
if not isAlone or call('HEXISTS', base .. 't', id) == 1 then
  return {}
end

seq = seq + 1
local seqText, nowText = int(seq), int(now)
local state, lease = firstState('')
call('HSET', base .. 't', id, seqText .. ' ' .. ARGV[10], '=' .. id, state)
lease = tonumber(lease)
if lease then
  call('ZADD', base .. 'agenda', int(math.ceil(lease)), id)
end
enlist(seq, seqText, id)
call('HSET', KEYS[1], 'seq', seqText, to, int((tonumber(v[10] or nil) or 0) + 1),
  ARGV[3], ARGV[4] .. ' ' .. nowText, ARGV[3] .. '=', nowText .. ' ' .. seqText)
tellOthers(v[9], 'updated')
return { now, seq }
