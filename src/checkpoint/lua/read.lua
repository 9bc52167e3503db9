--[[
  Reads checkpoints with their channel values and writes. A call belongs to one thread; one whose keys hold
  something else is answered with the error, the others are served.

  KEYS  per thread: the hash of its state, the sorted set of its checkpoints (see write.lua)
  ARGV  per call: which thread (1 is the first), number of arguments that follow, and: namespace, id or '' for the
        newest, how many checkpoints at most (it and its ancestors), the beginnings of the names of the wanted
        blobs (none for all)
  Returns per call the error of Redis, or a list of checkpoints: id, parent or '', checkpoint type and data,
        metadata type and data, blobs (name and value by turns), writes (task, path, index, channel, type and data
        by turns)
  Changes nothing.
]]
local FIELDS_PER_CALL = 1000

local function lines(text)
  local found = {}
  for line in string.gmatch(text, '[^\n]+') do found[#found + 1] = line end
  return found
end

-- Those of `names` that begin with one of ARGV[first..last]; all when that is empty.
local function wanted(names, first, last)
  if first > last then return names end
  local found = {}
  for _, name in ipairs(names) do
    for i = first, last do
      if string.sub(name, 1, #ARGV[i]) == ARGV[i] then found[#found + 1] = name end
    end
  end
  return found
end

-- The fields `before .. name .. after`, false for one that does not exist.
local function get(state, before, names, after)
  local values = {}
  for first = 1, #names, FIELDS_PER_CALL do
    local fields = {}
    for i = first, math.min(first + FIELDS_PER_CALL - 1, #names) do fields[#fields + 1] = before .. names[i] .. after end
    for i, value in ipairs(redis.call('HMGET', state, unpack(fields))) do values[first + i - 1] = value end
  end
  return values
end

local function blobs(state, namespace, names)
  local found = {}
  for i, value in ipairs(get(state, 'b' .. namespace, names, '')) do
    if value then
      found[#found + 1] = names[i]
      found[#found + 1] = value
    end
  end
  return found
end

local function writes(state, checkpoint)
  local tasks = lines(redis.call('HGET', state, 't' .. checkpoint) or '')
  local found = {}
  for i, packed in ipairs(get(state, 'w', tasks, checkpoint)) do
    for _, row in ipairs(packed and cmsgpack.unpack(packed) or {}) do
      found[#found + 1] = tasks[i]
      for _, value in ipairs(row) do found[#found + 1] = value end
    end
  end
  return found
end

local function newest(index, namespace)
  local from = '[' .. namespace
  local found = redis.call('ZREVRANGEBYLEX', index, from .. '\255', from, 'LIMIT', 0, 1)[1]
  return found and string.sub(found, #namespace + 1) or ''
end

local function read(state, index, first, last)
  local namespace, id, count = ARGV[first], ARGV[first + 1], tonumber(ARGV[first + 2])
  if id == '' then id = newest(index, namespace) end
  local found = {}
  while id ~= '' and #found < count do
    local packed = redis.call('HGET', state, 'c' .. namespace .. id)
    if not packed then break end
    local parent, names, type, data, metadata_type, metadata = unpack(cmsgpack.unpack(packed))
    local values = blobs(state, namespace, wanted(lines(names), first + 3, last))
    found[#found + 1] =
      { id, parent, type, data, metadata_type, metadata, values, writes(state, namespace .. id) }
    id = parent
  end
  return found
end

local replies = {}
local at = 1
while at <= #ARGV do
  local thread, first = tonumber(ARGV[at]), at + 2
  local last = at + 1 + tonumber(ARGV[at + 1])
  local done, reply = pcall(read, KEYS[2 * thread - 1], KEYS[2 * thread], first, last)
  if not done then
    reply = type(reply) == 'table' and reply.err or tostring(reply)
    if not string.find(reply, 'WRONGTYPE', 1, true) then return redis.error_reply(reply) end
  end
  replies[#replies + 1] = reply
  at = last + 1
end
return replies
