--[[
  Raises the fence of a thread by one, if it is as somebody saw it.

  KEYS  the hash of the thread's state (see write.lua)
  ARGV  the fence seen, 0 for none; ttlMs, 0 for none
  Returns the fence that was stored.
  Sent twice it changes nothing more, and the second answer is the raised fence: the caller has to look again.
]]
local stored = redis.call('HGET', KEYS[1], 'f') or '0'
if tonumber(stored) == tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'f', string.format('%.0f', ARGV[1] + 1))
  -- A thread that gets no checkpoint must not stay for ever; one that has some keeps its time.
  if ARGV[2] ~= '0' and redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
end
return stored
