--[[
  Reads records of checkpoints, without their channel values and writes.

  KEYS  the hash of the thread's state (see write.lua)
  ARGV  'names' to be told which channel values are stored, or '', then per checkpoint: namespace, id
  Returns per checkpoint: the record, '' for one that does not exist, and the names of its stored values with tabs
        between
  Changes nothing.
]]
local function stored(namespace, record)
  local found = {}
  for name in string.gmatch(string.match(record, '^[^\n]*\n([^\n]*)'), '[^\t]+') do
    if redis.call('HEXISTS', KEYS[1], 'b' .. namespace .. name) == 1 then found[#found + 1] = name end
  end
  return table.concat(found, '\t')
end

local rows = {}
for i = 2, #ARGV, 2 do
  local record = redis.call('HGET', KEYS[1], 'c' .. ARGV[i] .. ARGV[i + 1])
  rows[#rows + 1] = record or ''
  rows[#rows + 1] = record and ARGV[1] == 'names' and stored(ARGV[i], record) or ''
end
return rows
