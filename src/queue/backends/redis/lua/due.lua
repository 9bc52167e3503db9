-- What waits for its time comes into its lane once that has come.
local PROMOTIONS_MAX = 1000

local function isBefore(a, b)
  local first, second = tonumber(a.rank), tonumber(b.rank)
  return first < second or (first == second and tonumber(a.seq) < tonumber(b.seq))
end

-- What has fallen due becomes ready.
local function promote()
  local due = counters.due
  if not due or due == '' or (tonumber(due) or 0) > now then
    return
  end
  local ids = call('ZRANGEBYSCORE', AGENDA, int(DELAYED), int(DELAYED + now), 'LIMIT', 0, PROMOTIONS_MAX)
  local texts, tasks = fetchBoth(ids), {}
  for i, id in ipairs(ids) do
    taskTexts[id], stateTexts[id] = texts[2 * i - 1], texts[2 * i]
    local task = taskTexts[id] and load(id)
    if task and isReady(task) then
      identify(task)
      tasks[#tasks + 1] = task
    end
    loaded[id] = nil
  end
  table.sort(tasks, isBefore)
  spread('ZREM', AGENDA, ids)
  for _, task in ipairs(tasks) do
    appendTask(task)
  end
  closeLanes()
  local nextDue = call('ZRANGEBYSCORE', AGENDA, int(DELAYED), '(' .. int(ENDED), 'WITHSCORES', 'LIMIT', 0, 1)[2]
  fields.due = nextDue and int(tonumber(nextDue) - DELAYED) or ''
end
