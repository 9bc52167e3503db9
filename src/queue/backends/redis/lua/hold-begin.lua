-- How a hold begins: the sign of life, and where it is no more than that, or was answered before, the end. See `hold.lua`.
local failure, answered = begin(true)
if failure then
  return failure
end
local LIMIT, NODE, LAST_RANK, LAST_SEQ = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[8]), tonumber(ARGV[9])
local reply = { now }

local function answer(id, text, state)
  local size = #reply
  reply[size + 1], reply[size + 2], reply[size + 3] = id, text, state and '\n' .. state or nil
end

expireNodes()
local number, isKnown = signOfLife(NODE, tonumber(ARGV[7]))
local told = newsFor(NODE, number, isKnown)
reply[2] = told
if answered then
  local ids = {}
  for id in string.gmatch(answered, '%S+') do
    ids[#ids + 1] = id
  end
  local texts = fetchBoth(ids)
  for i, id in ipairs(ids) do
    if texts[2 * i - 1] then
      answer(id, texts[2 * i - 1], texts[2 * i])
    end
  end
  finish()
  return reply
end
if told[2] == 1 or LIMIT <= 0 then
  finish()
  return reply
end
promote()
if counters.quotas then
  gates.openDue()
  gates.save()
end
