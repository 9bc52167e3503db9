--[[
  Writes. A call belongs to one thread and is applied as a whole or, when a higher fence is stored on the thread,
  not at all. One whose keys hold something else is skipped; the others are applied.

  KEYS  per thread: the hash of its state, the sorted set of its checkpoints (all scores 0)
  ARGV  ttlMs, 0 for none
        then per call: which thread (1 is the first), fence or '', number of arguments that follow, and operations:
          put     namespace, id, parent or '', blobs wanted (a line each), checkpoint type and data, metadata type
                  and data, count, and per blob: name, type, data
          writes  namespace, id, task, count, and per write: path, index, channel, type, data
          delete
  Returns per call: 'ok', 'fence:' and the fence that is stored, or the error of Redis.

  Fields of the state: f            the highest fence
                       c<checkpoint> what `put` stored of it; <checkpoint> is namespace and id
                       b<blob>       a channel value: type, ':', data; <blob> is namespace and name
                       t<checkpoint> the tasks that wrote after it, a line each
                       w<task><checkpoint> what a task wrote
  Sent twice it changes nothing more. Namespaces and tasks are JSON strings, so fields cannot be confused.
]]
local FIELDS_PER_CALL = 1000
local next_argument = 2

local function take()
  next_argument = next_argument + 1
  return ARGV[next_argument - 1]
end

local function set(state, fields)
  for first = 1, #fields, FIELDS_PER_CALL do
    redis.call('HSET', state, unpack(fields, first, math.min(first + FIELDS_PER_CALL - 1, #fields)))
  end
end

local function merge(rows, present)
  local places = {}
  for place, row in ipairs(present) do places[row[2]] = place end
  for _, row in ipairs(rows) do
    local place = places[row[2]]
    if not place then
      present[#present + 1] = row
      places[row[2]] = #present
    elseif tonumber(row[2]) < 0 then
      -- A special write replaces the one before it; of other writes the first counts.
      present[place] = row
    end
  end
  return present
end

local operations = {}

function operations.put(state, index)
  local namespace, id, parent, wanted = take(), take(), take(), take()
  local record = cmsgpack.pack({ parent, wanted, take(), take(), take(), take() })
  local fields = { 'c' .. namespace .. id, record }
  for _ = 1, tonumber(take()) do
    local name, type, data = take(), take(), take()
    fields[#fields + 1] = 'b' .. namespace .. name
    fields[#fields + 1] = type .. ':' .. data
  end
  redis.call('ZADD', index, 0, namespace .. id)
  set(state, fields)
end

function operations.writes(state)
  local namespace, id, task = take(), take(), take()
  local checkpoint = namespace .. id
  local field = 'w' .. task .. checkpoint
  local rows = {}
  for i = 1, tonumber(take()) do rows[i] = { take(), take(), take(), take(), take() } end
  local present = redis.call('HGET', state, field)
  if present then
    redis.call('HSET', state, field, cmsgpack.pack(merge(rows, cmsgpack.unpack(present))))
  else
    local tasks = redis.call('HGET', state, 't' .. checkpoint) or ''
    redis.call('HSET', state, field, cmsgpack.pack(merge(rows, {})), 't' .. checkpoint, tasks .. task .. '\n')
  end
end

function operations.delete(state, index)
  redis.call('UNLINK', state, index)
end

local function apply(state, index, fence, last)
  local stored = redis.call('HGET', state, 'f')
  if stored and fence ~= '' and tonumber(fence) < tonumber(stored) then return 'fence:' .. stored end
  while next_argument <= last do operations[take()](state, index) end
  if fence ~= '' and fence ~= stored then redis.call('HSET', state, 'f', fence) end
  if ARGV[1] ~= '0' then
    redis.call('PEXPIRE', state, ARGV[1])
    redis.call('PEXPIRE', index, ARGV[1])
  end
  return 'ok'
end

local function message_of(failure)
  return type(failure) == 'table' and failure.err or tostring(failure)
end

local outcomes = {}
while next_argument <= #ARGV do
  local thread, fence, count = tonumber(take()), take(), tonumber(take())
  local last = next_argument + count - 1
  local done, outcome = pcall(apply, KEYS[2 * thread - 1], KEYS[2 * thread], fence, last)
  if not done then
    outcome = message_of(outcome)
    -- All else (no memory, no disk, a replica) is met by the first write, before anything has changed.
    if not string.find(outcome, 'WRONGTYPE', 1, true) then return redis.error_reply(outcome) end
  end
  outcomes[#outcomes + 1] = outcome
  next_argument = last + 1
end
return outcomes
