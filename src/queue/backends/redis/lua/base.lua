-- The frame of every script: the keys of a queue, its counters, what was answered before, and the end.
--
-- KEYS[1]  the counters of the queue, `{prefix}:c`. All other keys share its hash tag and are derived from it.
-- ARGV[1]  now, ms since the epoch; empty: Redis tells the time (`TIME`)
-- ARGV[2]  the store object that asks
-- ARGV[3]  the counter field that holds which request of its kind that store made last, and when; with a '=' behind
--          its name, what that was answered. May be empty
-- ARGV[4]  the number of the request; sent again, the script changes nothing and answers as it did
-- ARGV[5…] what each script says of itself
--
-- Guarantee of every script: all checks come before the first write, numbers are never written by tostring()
-- beyond 14 digits, and JSON passes through unread.
local call, match, sub, format, find, byte = redis.call, string.match, string.sub, string.format, string.find, string.byte
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local base = sub(KEYS[1], 1, -2)
local COUNTERS, TASKS, AGENDA, HEADS = KEYS[1], base .. 't', base .. 'agenda', base .. 'heads'
local STALE, JUDGING = base .. 'stale', base .. 'judging'
-- One sorted set for all that has a time: leases by their end, from DELAYED on tasks by runAt, from ENDED on ends.
local DELAYED, ENDED = 8796093022208, 17592186044416
local FORMAT = '1'
-- Lua gives at most 8,000 values to one call.
local VALUES_MAX = 4000
local READ = { 'format', 'paused', 'seq', 'due', 'watchers', 'blocked', 'p', 'a', 'i', 'w', 'r', 'c', 'f', 'x', 's',
  'ready', 'head', 'minute', 'holders', 'wanted', 'quotas', 'mark' }

local counters, delta, fields = {}, {}, {}
local now, clock, news
-- Whether gates let something on that they kept back.
local areOpened = false

local function int(number)
  return format('%d', number)
end

-- Lists of groups: what stood in them is looked for among the tasks, see `turns.relist`.
local RELISTED = { groups = true, parked = true, line = true }

-- A command on a key that somebody else may have written to: something of another type there is put aside.
local function sound(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then
    return answer
  elseif find(answer.err, 'WRONGTYPE', 1, true) then
    local name = sub(key, #base + 1)
    call('RENAME', key, base .. 'damaged:' .. name)
    if RELISTED[name] then
      call('HSET', COUNTERS, 'relist', '0')
    end
  end
  return call(command, key, ...)
end

-- A part of the program that few calls need is made when something of it is asked for.
local function later(part, make)
  setmetatable(part, { __index = function(_, name)
    setmetatable(part, nil)
    make()
    return part[name]
  end })
end

local function add(name, by)
  delta[name] = (delta[name] or 0) + by
end

local function serverNow()
  if not clock then
    local time = call('TIME')
    clock = time[1] * 1000 + floor(time[2] / 1000)
  end
  return clock
end

-- Calls a command with any number of values, `step` of which belong together.
local function spread(command, key, values, step)
  local size = VALUES_MAX - VALUES_MAX % (step or 1)
  for from = 1, #values, size do
    call(command, key, unpack(values, from, min(from + size - 1, #values)))
  end
end

-- HMGET of any number of fields.
local function fetch(key, names)
  if #names <= VALUES_MAX then
    return #names == 0 and {} or call('HMGET', key, unpack(names))
  end
  local all = {}
  for from = 1, #names, VALUES_MAX do
    local part = call('HMGET', key, unpack(names, from, min(from + VALUES_MAX - 1, #names)))
    for i = 1, #part do
      all[from + i - 1] = part[i]
    end
  end
  return all
end

-- Reads the counters; `ready`, which may be long, only where it is needed. Returns an error to answer with, or
-- nothing; and what this very request was answered.
local isRead = {}

local function begin(readsReady)
  isRead.ready = readsReady
  READ[16] = readsReady and 'ready' or ''
  READ[22] = ARGV[3]
  local v = call('HMGET', COUNTERS, unpack(READ))
  counters = {
    paused = v[2], seq = v[3], due = v[4], watchers = v[5], blocked = v[6], p = v[7], a = v[8], i = v[9], w = v[10],
    r = v[11], c = v[12], f = v[13], x = v[14], s = v[15], ready = v[16], head = v[17], minute = v[18],
    holders = v[19], wanted = v[20], quotas = v[21],
  }
  if v[1] ~= FORMAT then
    local version = tonumber(v[1] or nil)
    if version and version > 1 then
      return redis.error_reply('JOTTYFORMAT ' .. v[1])
    end
    fields.format = FORMAT
  end
  now = tonumber(ARGV[1]) or serverNow()
  if v[22] and match(v[22], '^%d+') == ARGV[4] then
    return nil, call('HGET', COUNTERS, ARGV[3] .. '=')
  end
end

-- A counter field that few calls need.
local function textOfField(name)
  if not isRead[name] then
    counters[name], isRead[name] = call('HGET', COUNTERS, name), true
  end
  return fields[name] or counters[name] or ''
end

-- One message per script, the one that says most: 'updated', 'new', or 'recall' where nodes are to give back what they
-- hold ahead.
local SAYS = { updated = 1, new = 2, recall = 3 }

local function tell(what)
  if not news or SAYS[what] > SAYS[news] then
    news = what
  end
end

-- Another store object that listens? `watchers` holds `object:until` of each.
local function isWatched()
  if not counters.watchers then
    return false
  end
  for object, untilTime in string.gmatch(counters.watchers, '(%S+)=(%d+)') do
    if object ~= ARGV[2] and tonumber(untilTime) > now then
      return true
    end
  end
  return false
end

-- Writes the counters, and what this request is answered, when it is to be remembered.
local function finish(answer)
  local values = {}
  for name, by in pairs(delta) do
    if by ~= 0 then
      values[#values + 1] = name
      values[#values + 1] = int(max(0, (tonumber(counters[name] or nil) or 0) + by))
    end
  end
  for name, value in pairs(fields) do
    values[#values + 1] = name
    values[#values + 1] = value
  end
  if answer and ARGV[3] ~= '' then
    values[#values + 1] = ARGV[3]
    values[#values + 1] = ARGV[4] .. ' ' .. int(now)
    values[#values + 1] = ARGV[3] .. '='
    values[#values + 1] = answer
  end
  if #values > 0 then
    call('HSET', COUNTERS, unpack(values))
  end
  if news and (news == 'recall' or isWatched()) then
    call('PUBLISH', base .. 'task_notifications', news .. ' ' .. ARGV[2])
  end
end
