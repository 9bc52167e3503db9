-- What is left of gates and groups that nobody needs any more is forgotten, a piece at a time.
local IDLE_STEP = 1000
-- `threads`: those that no stored task names any more. Their gates are forgotten when their checkpoints are gone.
local idle = { threads = {} }

local function hasLanes(group)
  return call('EXISTS', base .. 'heads:' .. group) == 1
end

-- The next fields of a hash; `fields` remembers where the last call stopped.
local function scan(key, name)
  local cursor = tonumber(call('HGET', COUNTERS, name) or nil) or 0
  local reply = sound('HSCAN', key, int(cursor), 'COUNT', IDLE_STEP)
  if reply[1] ~= '0' or cursor ~= 0 then
    fields[name] = reply[1]
  end
  return reply[2]
end

local function forgetGates()
  local gone, values = {}, scan(gates.GATES, 'gatesAt')
  for i = 1, #values, 2 do
    if gates.isIdle(gates.of(values[i])) then
      local thread = gates.threadOf(values[i])
      if thread then
        idle.threads[#idle.threads + 1] = thread
      else
        gone[#gone + 1] = values[i]
        turns.unpark(values[i])
      end
    end
  end
  spread('HDEL', gates.GATES, gone)
  spread('ZREM', gates.OPENS, gone)
end

local function forgetGroups()
  local groups, parked = {}, {}
  for _, group in ipairs(sound('ZRANGE', turns.GROUPS, 0, IDLE_STEP - 1)) do
    groups[#groups + 1] = not hasLanes(group) and group or nil
  end
  for _, member in ipairs(sound('ZRANGE', turns.PARKED, 0, IDLE_STEP - 1)) do
    parked[#parked + 1] = not hasLanes(match(member, '|(.*)$') or '') and member or nil
  end
  spread('ZREM', turns.GROUPS, groups)
  spread('ZREM', turns.PARKED, parked)
end

-- Whether any task has not ended.
local function isAnyOpen()
  for _, status in ipairs({ 'p', 'a', 'i', 'w', 'r' }) do
    if (tonumber(counters[status] or nil) or 0) > 0 then
      return true
    end
  end
  return false
end

local function forgetBacklogs()
  local values = scan(turns.STARTS, 'turnsAt')
  for i = 1, #values, 2 do
    if not hasLanes(values[i]) then
      local _, rank = turns.known(values[i])
      sound('HDEL', turns.STARTS, values[i])
      sound('ZREM', turns.BACKLOGS, turns.member(values[i], rank))
    end
  end
  -- Whose turns were over last is told as long as there is anybody else.
  if call('EXISTS', turns.STARTS) == 0 and not isAnyOpen() then
    call('DEL', turns.ENDS, turns.BACKLOGS)
  end
end

-- By the time `at`.
function idle.forget(at)
  if not counters.quotas then
    return
  end
  now = at
  forgetGates()
  forgetGroups()
  forgetBacklogs()
  if call('EXISTS', gates.GATES, turns.GROUPS, turns.STARTS, turns.ENDS, turns.PARKED) == 0 then
    call('DEL', gates.OPENS)
    call('HDEL', COUNTERS, 'quotas', 'recall', 'gatesAt', 'turnsAt')
    fields.quotas, fields.gatesAt, fields.turnsAt = nil, nil, nil
  end
  finish()
end
