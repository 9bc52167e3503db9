-- Tasks that nodes hold ahead: off their lanes, in the places of their limits as if they ran, and otherwise as they were.
--
-- `agenda`            a held task has the score HELD + the number of its node
-- `holders`, `holder` counter fields: `name=number:until` of each node, and the last number given. A node is silent for
--                     too long by the time of Redis, whatever the `now` of the call
-- `dropped:<number>`  a list of what the node held until somebody else wrote it
-- `recall`            counter field: nodes up to this number give back all they hold
-- `wanted`            counter field: the node that found the lanes empty while others hold something
local DROPPED_KEPT_MS, DROPPED_TOLD_MAX = 600000, 1000
local nodes

local function readNodes()
  if not nodes then
    nodes = {}
    for name, number, untilTime in string.gmatch(counters.holders or '', '(%S+)=(%d+):(%d+)') do
      nodes[name] = { number = tonumber(number), untilTime = tonumber(untilTime) }
    end
  end
  return nodes
end

local function writeNodes()
  local parts = {}
  for name, node in pairs(nodes) do
    parts[#parts + 1] = name .. '=' .. int(node.number) .. ':' .. int(node.untilTime)
  end
  fields.holders = table.concat(parts, ' ')
end

-- Held tasks wait in their lanes again, and leave their places. A fence that may have been given is used up.
local function giveBack(ids, isUsedUp)
  spread('ZREM', AGENDA, ids)
  local texts, waiting = fetchBoth(ids), {}
  for i, id in ipairs(ids) do
    taskTexts[id], stateTexts[id] = texts[2 * i - 1], texts[2 * i]
    local task = taskTexts[id] and load(id)
    if task and isReady(task) then
      waiting[#waiting + 1] = task
      if counters.quotas then
        gates.leave(turns.keysOf(limitsOf(task)), 1)
      end
    end
  end
  for _, task in ipairs(waiting) do
    if isUsedUp then
      local fence, tail = match(restOf(task), '^(%d+)(.*)$')
      task.rest = int(fence + 1) .. tail
      call('HSET', TASKS, '=' .. task.id, textOf(task))
    end
    appendTask(task)
  end
  closeLanes()
  for _, id in ipairs(ids) do
    loaded[id], stateTexts[id] = nil, nil
  end
  if #ids > 0 then
    tell('new')
  end
  if counters.quotas then
    gates.save()
  end
end

local function endNode(name, isSilent)
  local number = nodes[name].number
  giveBack(call('ZRANGEBYSCORE', AGENDA, int(HELD + number), int(HELD + number)), isSilent)
  call('DEL', base .. 'dropped:' .. int(number))
  nodes[name] = nil
  writeNodes()
end

-- What silent nodes held is claimable again.
local function expireNodes()
  for name, node in pairs(readNodes()) do
    if node.untilTime <= serverNow() then
      endNode(name, true)
    end
  end
end

-- The node's number, and whether it had one already.
local function signOfLife(name, holdMs)
  local node = readNodes()[name]
  local isKnown = node ~= nil
  if not isKnown then
    node = { number = call('HINCRBY', COUNTERS, 'holder', 1) }
    nodes[name] = node
  end
  node.untilTime = serverNow() + holdMs
  writeNodes()
  return node.number, isKnown
end

-- Whether a node other than this one holds anything. Idle nodes that asked each other would never be quiet.
local function othersHold(number)
  local own = int(HELD + number)
  return call('ZCOUNT', AGENDA, int(HELD), '+inf') > call('ZCOUNT', AGENDA, own, own)
end

local function earlier(a, b)
  return a and b and min(a, b) or a or b
end

-- Whether all that the node holds was called back, since its agent or type was paused: for it that is a pause.
local function isRecalled(number)
  return counters.quotas and number <= (tonumber(call('HGET', COUNTERS, 'recall') or nil) or 0)
end

-- 2 while groups of lanes are ready, of which nothing is held (`turns.lua`); 1 when there may be some later.
local function readiness()
  return counters.quotas and (call('EXISTS', base .. 'groups', base .. 'line') > 0 and 2 or 1) or 0
end

-- What a node is told at each sign of life: known, paused, wanted, the next due time (empty: none), what it lost; then
-- comes whether to ask again, and `readiness`.
local function newsFor(name, number, isKnown)
  local key = base .. 'dropped:' .. int(number)
  local dropped = call('LRANGE', key, 0, DROPPED_TOLD_MAX - 1)
  if #dropped > 0 then
    call('LTRIM', key, #dropped, -1)
  end
  local wanted = counters.wanted or ''
  local isWanted = wanted ~= '' and wanted ~= name and call('ZCOUNT', AGENDA, int(HELD + number), int(HELD + number)) > 0
  if isWanted then
    fields.wanted = ''
  end
  local due = call('ZRANGEBYSCORE', AGENDA, '(' .. int(DELAYED + now), '(' .. int(ENDED), 'WITHSCORES', 'LIMIT', 0, 1)[2]
  due = due and tonumber(due) - DELAYED
  if counters.quotas then
    due = earlier(due, tonumber(sound('ZRANGEBYSCORE', base .. 'opens', '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or nil))
  end
  local isPaused = counters.paused == '1' or isRecalled(number)
  return { isKnown and 1 or 0, isPaused and 1 or 0, isWanted and 1 or 0, due and int(due) or '', dropped, 0, readiness() }
end
