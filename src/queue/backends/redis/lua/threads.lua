-- Threads that tasks shared: which may go, or are gone.
--
-- ARGV[5]   'ask', or 'forget' where their checkpoints are gone
-- ARGV[6]   by the time, ms since the epoch
-- ARGV[7…]  the threads
-- Returns   those that no stored task names, nor has for its own
-- Guarantee of these, and of no others, the gates are forgotten where that is asked
local failure = begin()
if failure then
  return failure
end

now = max(0, tonumber(ARGV[6]))
local free, gone = {}, {}
for i = 7, #ARGV do
  local key = 'thread:' .. ARGV[i]
  if gates.isIdle(gates.of(key)) then
    gone[#gone + 1] = key
    free[#free + 1] = call('HEXISTS', TASKS, ARGV[i]) == 0 and ARGV[i] or nil
  end
end
if ARGV[5] == 'forget' then
  for _, key in ipairs(gone) do
    turns.unpark(key)
  end
  spread('HDEL', gates.GATES, gone)
  spread('ZREM', gates.OPENS, gone)
  finish()
end
return free
