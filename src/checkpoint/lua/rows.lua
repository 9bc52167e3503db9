--[[
  Reads checkpoints without their channel values and writes.

  KEYS  the hash of the thread's state (see write.lua)
  ARGV  'names' to be told which channel values are stored, or '', then per checkpoint: namespace, id
  Returns per checkpoint: parent or '', checkpoint type and data, metadata type and data, the names of its stored
        blobs (a line each); nothing for one that does not exist
  Changes nothing.
]]
local function stored(namespace, wanted)
  local found = {}
  for name in string.gmatch(wanted, '[^\n]+') do
    if redis.call('HEXISTS', KEYS[1], 'b' .. namespace .. name) == 1 then found[#found + 1] = name end
  end
  return table.concat(found, '\n')
end

local rows = {}
for i = 2, #ARGV, 2 do
  local packed = redis.call('HGET', KEYS[1], 'c' .. ARGV[i] .. ARGV[i + 1])
  local row = {}
  if packed then
    local parent, wanted, type, data, metadata_type, metadata = unpack(cmsgpack.unpack(packed))
    local names = ARGV[1] == 'names' and stored(ARGV[i], wanted) or ''
    row = { parent, type, data, metadata_type, metadata, names }
  end
  rows[#rows + 1] = row
end
return rows
