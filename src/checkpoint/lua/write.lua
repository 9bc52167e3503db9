--[[
  Writes. A call belongs to one thread and is applied as a whole or, when a higher fence is stored on the thread,
  not at all. One whose keys hold something else is skipped; the others are applied.

  KEYS  per thread: the hash of its state, the sorted set of its checkpoints (all scores 0)
  ARGV  ttlMs, 0 for none
        then a text for each call, of parts that each end with byte 30: which thread (1 is the first), fence or '',
        and operations:
          put     namespace, id, record, count, and per channel value: name, value
          writes  namespace, id, task, rows (a line each, which begins with its index)
          delete
  Returns per call: 'ok', 'fence:' and the fence that is stored, or the error of Redis.

  Fields of the state: f             the highest fence
                       c<checkpoint> the record; <checkpoint> is namespace and id
                       b<namespace><name>  a channel value
                       h<checkpoint> the first task that wrote after it, and in the next lines its rows
                       t<checkpoint> the other tasks that did, a line each
                       w<task><checkpoint> the rows of one of these
  Sent twice it changes nothing more. Namespaces, ids, tasks and names are JSON texts: no field can be mistaken for
  another, and no text holds byte 30 or the end of a line. They are cut and joined here, never decoded. Few long
  arguments take Redis and its client half the time of many short ones.
]]
local call = redis.call
local FIELDS_PER_CALL = 1000
local fences = {}
local text, at, expires_at

local function moment_after(ms)
  local now = call('TIME')
  return string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + ms)
end

local function take()
  local mark = string.find(text, '\30', at, true)
  local part = string.sub(text, at, mark - 1)
  at = mark + 1
  return part
end

local function fence_of(state)
  if fences[state] == nil then fences[state] = call('HGET', state, 'f') end
  return fences[state]
end

-- The rows of a task after `more` were written: a special one (index below 0) replaces the one before it, of
-- others the first counts.
local function merged(rows, more)
  local lines, places = {}, {}
  for line in string.gmatch(rows .. '\n' .. more, '[^\n]+') do
    local index = string.match(line, '^-?%d+')
    local place = places[index] or #lines + 1
    if not places[index] or tonumber(index) < 0 then lines[place] = line end
    places[index] = place
  end
  return table.concat(lines, '\n')
end

local operations = {}

function operations.put(state, index)
  local namespace, id, record, count = take(), take(), take(), tonumber(take())
  local fields = { 'c' .. namespace .. id, record }
  for _ = 1, count do
    fields[#fields + 1] = 'b' .. namespace .. take()
    fields[#fields + 1] = take()
  end
  call('ZADD', index, 0, namespace .. id)
  for first = 1, #fields, FIELDS_PER_CALL do
    local last = math.min(first + FIELDS_PER_CALL - 1, #fields)
    local reply = redis.pcall('HSET', state, unpack(fields, first, last))
    if type(reply) == 'table' then
      call('ZREM', index, namespace .. id)
      error(reply)
    end
  end
end

function operations.writes(state)
  local checkpoint, task, rows = take() .. take(), take(), take()
  -- Most steps have one task: it is stored with its rows, and nothing has to be read.
  if call('HSETNX', state, 'h' .. checkpoint, task .. '\n' .. rows) == 1 then return end
  local head = call('HGET', state, 'h' .. checkpoint)
  if string.sub(head, 1, #task + 1) == task .. '\n' then
    call('HSET', state, 'h' .. checkpoint, task .. '\n' .. merged(string.sub(head, #task + 2), rows))
    return
  end
  local present = call('HGET', state, 'w' .. task .. checkpoint)
  if present then
    call('HSET', state, 'w' .. task .. checkpoint, merged(present, rows))
  else
    local tasks = call('HGET', state, 't' .. checkpoint) or ''
    call('HSET', state, 'w' .. task .. checkpoint, rows, 't' .. checkpoint, tasks .. task .. '\n')
  end
end

function operations.delete(state, index)
  call('UNLINK', state, index)
  fences[state] = false
end

local function apply()
  local thread, fence = tonumber(take()), take()
  local state, index = KEYS[2 * thread - 1], KEYS[2 * thread]
  local stored = fence ~= '' and fence_of(state)
  if stored and tonumber(fence) < tonumber(stored) then return 'fence:' .. stored end
  while at <= #text do operations[take()](state, index) end
  if fence ~= '' and fence ~= stored then
    call('HSET', state, 'f', fence)
    fences[state] = fence
  end
  if ARGV[1] ~= '0' then
    -- At one and the same moment: half a thread must never be seen.
    expires_at = expires_at or moment_after(tonumber(ARGV[1]))
    call('PEXPIREAT', state, expires_at)
    call('PEXPIREAT', index, expires_at)
  end
  return 'ok'
end

local outcomes = {}
for i = 2, #ARGV do
  text, at = ARGV[i], 1
  local done, outcome = pcall(apply)
  if not done then
    outcome = type(outcome) == 'table' and outcome.err or tostring(outcome)
    -- All else (no memory, no disk, a replica) is met by the first write, before anything has changed.
    if not string.find(outcome, 'WRONGTYPE', 1, true) then return redis.error_reply(outcome) end
  end
  outcomes[i - 1] = outcome
end
return outcomes
