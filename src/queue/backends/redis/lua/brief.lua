-- What the programs for a lone submission need, in place of the frame of the other scripts (`base.lua`).
local call, match, sub, format, find = redis.call, string.match, string.sub, string.format, string.find
local base = sub(KEYS[1], 1, -2)
local now

local function int(number)
  return format('%d', number)
end

local function serverNow()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- As `appendToBuckets` for a single task.
local function enlist(seq, seqText, id)
  local bucket = int(math.floor(seq / 1000))
  if call('RPUSH', base .. 'ids:' .. bucket, sub(seqText, -3) .. ' ' .. id) == 1 then
    call('ZADD', base .. 'buckets', bucket, bucket)
  end
end

-- News for another store object that listens: `watchers` holds `object:until` of each. As `isWatched`.
local function tellOthers(watchers, what)
  for object, untilTime in string.gmatch(watchers or '', '(%S+)=(%d+)') do
    if object ~= ARGV[2] and tonumber(untilTime) > now then
      call('PUBLISH', base .. 'task_notifications', what .. ' ' .. ARGV[2])
      return
    end
  end
end
