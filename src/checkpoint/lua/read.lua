--[[
  Reads a checkpoint with its channel values and writes, and its ancestors in the same way.

  KEYS  the hash of the thread's state, the sorted set of its checkpoints (see write.lua)
  ARGV  namespace, id or '' for the newest, how many at most (1: no ancestors)
        then the beginnings of the names of the wanted blobs, none for all
  Returns per checkpoint: id, parent or '', checkpoint type and data, metadata type and data,
        blobs (name, type and data by turns), writes (task, path, index, channel, type and data by turns)
  Changes nothing.
]]
local FIELDS_PER_CALL = 1000
local state, namespace, id = KEYS[1], ARGV[1], ARGV[2]

local function is_wanted(name)
  if #ARGV == 3 then return true end
  for i = 4, #ARGV do
    if string.sub(name, 1, #ARGV[i]) == ARGV[i] then return true end
  end
  return false
end

local function lines(text)
  local found = {}
  for line in string.gmatch(text, '[^\n]+') do found[#found + 1] = line end
  return found
end

local function get(names, field_of)
  local values = {}
  for first = 1, #names, FIELDS_PER_CALL do
    local fields = {}
    for i = first, math.min(first + FIELDS_PER_CALL - 1, #names) do fields[#fields + 1] = field_of(names[i]) end
    for i, value in ipairs(redis.call('HMGET', state, unpack(fields))) do values[first + i - 1] = value end
  end
  return values
end

local function blobs(wanted)
  local names = {}
  for _, name in ipairs(lines(wanted)) do
    if is_wanted(name) then names[#names + 1] = name end
  end
  local found = {}
  for i, value in ipairs(get(names, function(name) return 'b' .. namespace .. name end)) do
    if value then
      found[#found + 1] = names[i]
      found[#found + 1] = value
    end
  end
  return found
end

local function writes(checkpoint)
  local tasks = lines(redis.call('HGET', state, 't' .. checkpoint) or '')
  local found = {}
  for i, packed in ipairs(get(tasks, function(task) return 'w' .. task .. checkpoint end)) do
    for _, row in ipairs(packed and cmsgpack.unpack(packed) or {}) do
      found[#found + 1] = tasks[i]
      for _, value in ipairs(row) do found[#found + 1] = value end
    end
  end
  return found
end

if id == '' then
  local newest = redis.call('ZREVRANGEBYLEX', KEYS[2], '[' .. namespace .. '\255', '[' .. namespace, 'LIMIT', 0, 1)[1]
  if not newest then return {} end
  id = string.sub(newest, #namespace + 1)
end

local found = {}
repeat
  local packed = redis.call('HGET', state, 'c' .. namespace .. id)
  if not packed then break end
  local parent, wanted, type, data, metadata_type, metadata = unpack(cmsgpack.unpack(packed))
  found[#found + 1] =
    { id, parent, type, data, metadata_type, metadata, blobs(wanted), writes(namespace .. id) }
  id = parent
until id == '' or #found == tonumber(ARGV[3])
return found
