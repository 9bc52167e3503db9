-- Reads what there is to do and to wait for. A queue without open tasks is told by its counters alone.
--
-- Returns   which of these there are: expired leases `e`, alarms that ring `a`, unjudged edges `u`, tasks that are
--           pending or retrying `p`; and when the next thing falls due after now, empty without one
local failure = begin()
if failure then
  return failure
end

-- Anything but 0 counts: where a counter is damaged, the tasks must be looked at.
local function has(status)
  return counters[status] and tonumber(counters[status]) ~= 0
end

local function firstFrom(key, low, high)
  return tonumber(sound('ZRANGEBYSCORE', key, low, high, 'WITHSCORES', 'LIMIT', 0, 1)[2] or nil)
end

local isPending = has('p') or has('r')
if not (isPending or has('a') or has('i') or has('w')) then
  return { '', '' }
end
local lease = firstFrom(AGENDA, '-inf', '(' .. int(DELAYED))
local delayed = firstFrom(AGENDA, '(' .. int(DELAYED + now), '(' .. int(ENDED))
local alarm = firstFrom(base .. 'alarms', '-inf', '+inf')
local flags = (lease and lease <= now and 'e' or '') .. (isPending and 'p' or '')
if call('EXISTS', base .. 'unjudged') == 1 then
  flags = flags .. 'u'
end
if alarm and alarm <= now then
  flags = flags .. 'a'
  alarm = firstFrom(base .. 'alarms', '(' .. int(now), '+inf')
end
local first = delayed and delayed - DELAYED
for _, at in ipairs({ alarm or false, counters.quotas and firstFrom(base .. 'opens', '(' .. int(now), '+inf') or false }) do
  if at and (not first or at < first) then
    first = at
  end
end
return { flags, first and int(first) or '' }
