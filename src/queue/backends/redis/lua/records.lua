-- Records in a reply: id, `t`, `s` (empty without one), and what each still waits for.
local function pushRecords(reply, ids, taskValues, stateValues)
  taskValues = taskValues or fetch(TASKS, ids)
  stateValues = stateValues or fetch(STATES, ids)
  for i, id in ipairs(ids) do
    if taskValues[i] then
      local state = stateValues[i] or ''
      local blocked = match(state, '^%d+ %d+ %l %S+ (%d+) ')
      local size = #reply
      reply[size + 1] = id
      reply[size + 2] = taskValues[i]
      reply[size + 3] = state
      reply[size + 4] = blocked and blocked ~= '0' and blockersOf(id) or ''
    end
  end
  return reply
end
