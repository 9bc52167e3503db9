-- Alarms: when policy must look at a task again, whatever it waits for.
--
-- `alarms`  the tasks that have one, by when. The task itself says so in the place of its lease, `!<when>`: nobody has
--           both, and what has none costs nothing
local ALARMS = base .. 'alarms'

-- Gives the task a lease, an alarm (`!when`), or neither ('-').
local function setLease(task, lease)
  if lease == task.lease then
    return
  elseif sub(lease, 1, 1) == '!' then
    sound('ZADD', ALARMS, ceil(tonumber(sub(lease, 2))), task.id)
  elseif sub(task.lease, 1, 1) == '!' then
    sound('ZREM', ALARMS, task.id)
  end
  task.lease = lease
end
