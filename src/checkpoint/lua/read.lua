--[[
  Reads checkpoints with their channel values and writes. A call belongs to one thread; one whose keys hold
  something else is answered with the error, the others are served.

  KEYS  per thread: the hash of its state, the sorted set of its checkpoints (see write.lua)
  ARGV  a text for each call, of parts that each end with byte 30: which thread (1 is the first), namespace, id or
        '' for the newest, how many checkpoints at most (it and its ancestors), the beginnings of the names of the
        wanted channel values (none for all)
  Returns per call the error of Redis, or a list of checkpoints: id, record, channel values (name and value by
        turns), the writes of each task (the task and its rows, a line each)
  Changes nothing.
]]
local call = redis.call
local FIELDS_PER_CALL = 1000

-- The names, of which a record has a line, with tabs between; only those that begin with one of parts[first] and on.
local function wanted(names, parts, first)
  local found = {}
  for name in string.gmatch(names, '[^\t]+') do
    local is_wanted = first > #parts
    for i = first, #parts do
      if string.sub(name, 1, #parts[i]) == parts[i] then is_wanted = true end
    end
    if is_wanted then found[#found + 1] = name end
  end
  return found
end

local function get(state, fields)
  if #fields <= FIELDS_PER_CALL then return call('HMGET', state, unpack(fields)) end
  local values = {}
  for first = 1, #fields, FIELDS_PER_CALL do
    local last = math.min(first + FIELDS_PER_CALL - 1, #fields)
    for i, value in ipairs(call('HMGET', state, unpack(fields, first, last))) do values[first + i - 1] = value end
  end
  return values
end

-- What the first task wrote, and what the others did.
local function writes(state, checkpoint, head, others)
  local found, fields = { head or nil }, {}
  if not others then return found end
  local tasks = {}
  for task in string.gmatch(others, '[^\n]+') do
    tasks[#tasks + 1] = task
    fields[#fields + 1] = 'w' .. task .. checkpoint
  end
  for i, rows in ipairs(get(state, fields)) do found[#found + 1] = tasks[i] .. '\n' .. (rows or '') end
  return found
end

local function one(state, namespace, id, record, names)
  local checkpoint = namespace .. id
  local fields = { 'h' .. checkpoint, 't' .. checkpoint }
  for _, name in ipairs(names) do fields[#fields + 1] = 'b' .. namespace .. name end
  local values = get(state, fields)
  local found = {}
  for i, name in ipairs(names) do
    if values[i + 2] then
      found[#found + 1] = name
      found[#found + 1] = values[i + 2]
    end
  end
  return { id, record, found, writes(state, checkpoint, values[1], values[2]) }
end

local function newest(index, namespace)
  local from = '[' .. namespace
  local found = call('ZREVRANGEBYLEX', index, from .. '\255', from, 'LIMIT', 0, 1)[1]
  return found and string.sub(found, #namespace + 1) or ''
end

local function read(text)
  local parts = {}
  for part in string.gmatch(text, '([^\30]*)\30') do parts[#parts + 1] = part end
  local thread, namespace, id, count = tonumber(parts[1]), parts[2], parts[3], tonumber(parts[4])
  local state, index = KEYS[2 * thread - 1], KEYS[2 * thread]
  if id == '' then id = newest(index, namespace) end
  -- Were the state something else, that must not look like a thread without checkpoints.
  if id == '' then call('HLEN', state) end
  local found = {}
  while id ~= '' and #found < count do
    local record = call('HGET', state, 'c' .. namespace .. id)
    if not record then break end
    local parent, names = string.match(record, '^([^\n]*)\n([^\n]*)')
    found[#found + 1] = one(state, namespace, id, record, wanted(names, parts, 5))
    id = parent
  end
  return found
end

local replies = {}
for i, text in ipairs(ARGV) do
  local done, reply = pcall(read, text)
  if not done then
    reply = type(reply) == 'table' and reply.err or tostring(reply)
    if not string.find(reply, 'WRONGTYPE', 1, true) then return redis.error_reply(reply) end
  end
  replies[i] = reply
end
return replies
