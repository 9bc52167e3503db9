-- A lone submission that finds a worker of another process standing by (see `standby.lua`) is claimed for it in the same
-- call, and the worker is sent the task in place of the news that there is one. What `insert` and then `claim` would do,
-- one trip to Redis and back less. Otherwise nothing is written here, and the usual way goes on below.
--
-- Arguments as those of `insert`, of one task that is ready at once and under no limits.
-- Returns   0, 'granted', and the store object that has it with the ms of its lease
-- Guarantee nobody but that one is sent the task, and only while its subscription stands. Until it has said that it
--           heard (`granted`: store object -> id), the one that submitted may take the task back: a message can be lost.
-- Those that came last first: they have had the least time to die. Few functions are made here: that takes long.
local STANDBY = base .. 'standby'
local standing = redis.pcall('ZREVRANGE', STANDBY, 0, 3)
if standing[1] then
  local failure, answered = begin(true)
  if failure then
    return failure
  end
  local id, identity = ARGV[7], ARGV[8]
  local laneText, priority, agentType, agent = match(identity, '^%S+ %S+ %S+ ((%d+)|([^|%s]*)|([^|%s]*))')
  if not answered and laneText and isPlain() and isNothingReady() and call('HEXISTS', TASKS, id) == 0 then
    now = serverNow()
    for _, text in ipairs(standing) do
      local instance, owner, json, lease, to, priorityMin, types, agents, agentTypes =
        match(text, '^(%S+)\n(%S+)\n([^\n]*)\n%+(%d+)\n(%l)\n(%d*)\n([^\n]*)\n([^\n]*)\n([^\n]*)$')
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
      for object, untilTime in string.gmatch(isWanted and counters.watchers or '', '(%S+)=(%d+)') do
        if tonumber(untilTime) > now then
          listens = listens or object == instance
          others = others or (object ~= instance and object ~= ARGV[2])
        end
      end
      local channel = base .. 'standby:' .. (instance or '')
      local subscribed = listens and redis.pcall('PUBSUB', 'NUMSUB', channel)
      if subscribed and (tonumber(subscribed[2] or nil) or 0) > 0 then
        local seq = lastSeq() + 1
        local seqText = int(seq)
        local identified = seqText .. ' ' .. identity
        local state, leaseEnd = firstState('', { [6] = owner, [7] = json, [8] = '+' .. lease, [9] = to })
        -- The first write: what Redis refuses is refused before the worker hears of it.
        call('HSET', TASKS, id, identified, '=' .. id, state)
        local head = int(now) .. ' ' .. leaseEnd .. ' ' .. to .. ' ' .. owner .. ' ' .. id
        local count = redis.pcall('PUBLISH', channel, head .. '\n' .. identified)
        if type(count) == 'number' and count > 0 then
          call('ZADD', AGENDA, leaseEnd, id)
          appendToBuckets({ bucketEntry(seqText, id) }, seq)
          sound('HSET', base .. 'granted', instance, id)
          fields.seq = seqText
          add(to, 1)
          if others then
            tell('updated')
          end
          local answer = { instance, lease }
          finish(cmsgpack.pack({ { 0, 'granted', answer } }))
          return { 0, 'granted', answer }
        end
        call('HDEL', TASKS, id, '=' .. id)
      end
    end
  end
  -- Read anew below.
  isRead.front = nil
end
