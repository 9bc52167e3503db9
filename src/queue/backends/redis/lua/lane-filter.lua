-- Which lanes a claim or a hold asks for.
--
-- ARGV[10]  the lowest priority, or empty
-- ARGV[11]  agent types between blanks, '*' any
-- ARGV[12]  free agents between blanks, '*' not asked; ARGV[13] their types, '*' all
local PRIORITY_MIN, TYPES, AGENTS, AGENT_TYPES = tonumber(ARGV[10] or nil), ARGV[11], ARGV[12], ARGV[13]
local matching, paused = {}

-- Whether some lanes are left out; the counters have been read.
local function leavesLanesOut()
  paused = match(counters.quotas or '', '\n.*')
  return PRIORITY_MIN or TYPES ~= '*' or AGENTS ~= '*' or paused
end

local function has(names, name)
  return find(names, ' ' .. name .. ' ', 1, true) ~= nil
end

local function isWanted(lane)
  local priority, agentType, agent = match(lane, '^(%d+)|([^|]*)|([^|]*)')
  if not priority or (PRIORITY_MIN and tonumber(priority) < PRIORITY_MIN) then
    return false
  end
  if paused and (find(paused .. '\n', '\n@type:' .. agentType .. '\n', 1, true) or find(paused .. '\n', '\n@agent:' .. agent .. '\n', 1, true)) then
    return false
  end
  if TYPES ~= '*' and (agentType == '' or not has(TYPES, agentType)) then
    return false
  end
  if AGENTS == '*' then
    return true
  elseif agent ~= '' then
    return has(AGENTS, agent)
  elseif AGENTS == ' ' then
    return false
  end
  return agentType == '' or AGENT_TYPES == '*' or has(AGENT_TYPES, agentType)
end

-- `leavesLanesOut` has been asked.
local function matchesFilter(lane)
  if matching[lane] == nil then
    matching[lane] = isWanted(lane)
  end
  return matching[lane]
end
