-- The first thing a store object does: it checks the format, asks the time, and forgets answers nobody waits for.
--
-- Returns   the time by Redis
local failure = begin()
if failure then
  return failure
end
local ANSWERS_KEPT_MS, MANY = 600000, 64
if call('HLEN', COUNTERS) > MANY then
  for _, name in ipairs(call('HKEYS', COUNTERS)) do
    local text = match(name, '^%l%w*:[^=]*$') and call('HGET', COUNTERS, name)
    local at = text and tonumber(match(text, '^%d+ (%d+)$') or nil)
    if at and at < serverNow() - ANSWERS_KEPT_MS then
      call('HDEL', COUNTERS, name, name .. '=')
    end
  end
end
finish()
return serverNow()
