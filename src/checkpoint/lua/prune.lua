--[[
  Deletes checkpoints with their writes, and channel values, if the thread is as it was when they were chosen.

  KEYS  the hash of the thread's state, the sorted set of its checkpoints (see write.lua)
  ARGV  how many checkpoints the thread had, how many are to go, per checkpoint: namespace, id;
        then per channel value: namespace and name
  Returns 1, or 0 when the number differs or one of them is gone: then nothing has changed.
  Sent twice it changes nothing more, and the second answer is 0.
]]
local state, index = KEYS[1], KEYS[2]
local last = 2 + 2 * tonumber(ARGV[2])

if redis.call('ZCARD', index) ~= tonumber(ARGV[1]) then return 0 end
for i = 3, last, 2 do
  if not redis.call('ZSCORE', index, ARGV[i] .. ARGV[i + 1]) then return 0 end
end

for i = 3, last, 2 do
  local checkpoint = ARGV[i] .. ARGV[i + 1]
  for task in string.gmatch(redis.call('HGET', state, 't' .. checkpoint) or '', '[^\n]+') do
    redis.call('HDEL', state, 'w' .. task .. checkpoint)
  end
  redis.call('HDEL', state, 'c' .. checkpoint, 'h' .. checkpoint, 't' .. checkpoint)
  redis.call('ZREM', index, checkpoint)
end
for i = last + 1, #ARGV do redis.call('HDEL', state, 'b' .. ARGV[i]) end
return 1
