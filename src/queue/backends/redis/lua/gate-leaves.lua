-- What the ends of tasks mean to the gates of their limits: `leaving` tells how many ended, by `;key,key`.
local function leaveGates(leaving)
  if not next(leaving) then
    return
  end
  local pools = {}
  for limits, count in pairs(leaving) do
    pools[sub(limits, 2)] = count
  end
  local names, values = gateCounts.leave(pools)
  if not values then
    gates.leaveAll(leaving)
    gates.save()
    return
  end
  gateCounts.write(values)
  if call('EXISTS', base .. 'parked') == 1 then
    for _, key in ipairs(names) do
      turns.unpark(key)
    end
  end
end

-- 1 where something that gates kept back may go on since.
local function areGatesOpened()
  return areOpened and 1 or 0
end
