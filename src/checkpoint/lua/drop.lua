--[[
  Deletes a thread, if its fence is as somebody saw it.

  KEYS  the hash of the thread's state (see write.lua), the sorted set of its checkpoints
  ARGV  the fence seen, 0 for none
  Returns 'kept' where somebody has raised the fence since.
  Sent twice it changes nothing more.
]]
local stored = redis.call('HGET', KEYS[1], 'f')
if stored and stored ~= ARGV[1] then return 'kept' end
redis.call('UNLINK', KEYS[1], KEYS[2])
return 'gone'
