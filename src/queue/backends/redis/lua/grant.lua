-- A lone submission that finds a worker of another process standing by (see `standby.lua`) is claimed for it in the same
-- call, and the worker is sent the task in place of the news that there is one. What `insert` and then `claim` would do,
-- one trip to Redis and back less. Otherwise nothing is written here, and the usual way goes on below.
--
-- Arguments as those of `insert`, of one task that is ready at once and under no limits.
-- Returns   0, 'granted', and the store object that has it with the ms of its lease
-- Guarantee nobody but that one is sent the task, and only while its subscription stands. Until it has said that it
--           heard (`granted`: store object -> id), the one that submitted may take the task back: a message can be lost.
--           Sent again, the same is answered, from below.
-- Those that came last first: they have had the least time to die.
local STANDBY, TASKS = base .. 'standby', base .. 't'
local standing = redis.pcall('ZREVRANGE', STANDBY, 0, 3)
if standing[1] then
  local v = call('HMGET', KEYS[1], 'format', 'paused', 'quotas', 'holders', 'due', 'ready', 'seq', 'watchers', 'a', 'i', ARGV[3])
  now = serverNow()
  local due, ready = v[5], v[6] or ''
  -- Without counters but with tasks it is found out below.
  local lastSeq = tonumber(v[7] or nil) or (call('EXISTS', base .. 'buckets') == 0 and 0)
  local id, identity = ARGV[7], ARGV[8]
  local priority, agentType, agent = match(identity, '^%S+ %S+ %S+ (%d+)|([^|%s]*)|([^|%s]*)')
  -- A claim would look at nothing but tasks, and there is no other? As in `hand-over.lua`.
  local isAlone = v[1] == '1' and v[2] ~= '1' and not v[3] and (v[4] or '') == '' and lastSeq and priority
    and (not due or due == '' or (tonumber(due) or 0) > now)
    and not (v[11] and match(v[11], '^%d+') == ARGV[4])
    and (ready == '' or find(ready, '^@[^\n]*\n$'))
    and call('EXISTS', base .. 'heads') == 0
    and (find(ready, '^@%S+ %S+ inf ') or (call('HGET', KEYS[1], 'front') or '') == '')
    and call('HEXISTS', TASKS, id) == 0
  for _, text in ipairs(isAlone and standing or {}) do
    local instance, owner, json, lease, to, priorityMin, types, agents, agentTypes =
      match(text, '^(%S+)\n(%S+)\n([^\n]*)\n%+(%d+)\n([ai])\n(%d*)\n([^\n]*)\n([^\n]*)\n([^\n]*)$')
    -- As `laneMatches` of a claim.
    local isWanted = instance and instance ~= ARGV[2] and tonumber(priority) >= (tonumber(priorityMin) or 0)
    if isWanted and types ~= '*' then
      isWanted = agentType ~= '' and find(types, ' ' .. agentType .. ' ', 1, true)
    end
    if isWanted and agents ~= '*' then
      if agent ~= '' then
        isWanted = find(agents, ' ' .. agent .. ' ', 1, true)
      else
        isWanted = agents ~= ' '
          and (agentType == '' or agentTypes == '*' or find(agentTypes, ' ' .. agentType .. ' ', 1, true))
      end
    end
    if isWanted or not instance then
      call('ZREM', STANDBY, text)
    end
    -- It still listens? And do others, for whom this is no news yet?
    local listens, others = false, false
    for object, untilTime in string.gmatch(isWanted and v[8] or '', '(%S+)=(%d+)') do
      if tonumber(untilTime) > now then
        listens = listens or object == instance
        others = others or (object ~= instance and object ~= ARGV[2])
      end
    end
    local channel = base .. 'standby:' .. (instance or '')
    if listens then
      local seq = lastSeq + 1
      local seqText, nowText = int(seq), int(now)
      local identified = seqText .. ' ' .. identity
      local state, leaseEnd = firstState('', { [6] = owner, [7] = json, [8] = '+' .. lease, [9] = to })
      -- The first write: what Redis refuses is refused before the worker hears of it.
      call('HSET', TASKS, id, identified, '=' .. id, state)
      local head = nowText .. ' ' .. leaseEnd .. ' ' .. to .. ' ' .. owner .. ' ' .. id
      local count = redis.pcall('PUBLISH', channel, head .. '\n' .. identified)
      -- Nobody there after all: it is as if nothing had been written.
      if type(count) == 'number' and count > 0 then
        call('ZADD', base .. 'agenda', leaseEnd, id)
        enlist(seq, seqText, id)
        if type(redis.pcall('HSET', base .. 'granted', instance, id)) == 'table' then
          call('DEL', base .. 'granted')
        end
        -- As `finish`.
        local answer = { instance, lease }
        local packed = cmsgpack.pack({ { 0, 'granted', answer } })
        local inStatus = int((tonumber((to == 'a' and v[9] or v[10]) or nil) or 0) + 1)
        call('HSET', KEYS[1], 'seq', seqText, to, inStatus, ARGV[3], ARGV[4] .. ' ' .. nowText, ARGV[3] .. '=', packed)
        if others then
          call('PUBLISH', base .. 'task_notifications', 'updated ' .. ARGV[2])
        end
        return { 0, 'granted', answer }
      end
      call('HDEL', TASKS, id, '=' .. id)
    end
  end
end
