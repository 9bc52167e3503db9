-- Writes an entry of the registry: a small text that processes leave for one another.
--
-- ARGV[5]   section
-- ARGV[6]   key
-- ARGV[7]   when it is over, ms since the epoch; empty: never
-- ARGV[8]   the version it must have, 0: there must be none; empty: whatever there is
-- ARGV[9]   how many entries a section may have
-- ARGV[10]  the text
-- Returns   1 written, 0 another version is there, -1 the section is full
-- Guarantee sent again, it changes nothing and answers the same
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return tonumber(answered)
end
local KEY, EXPIRY = base .. 'registry:' .. ARGV[5], '^(%d+) (%d*) (.*)$'

-- The version of an entry that is alive, 0 without one.
local function alive(value)
  local version, over = match(value or '', EXPIRY)
  if not version or (over ~= '' and tonumber(over) <= now) then
    return 0
  end
  return tonumber(version)
end

local old = call('HGET', KEY, ARGV[6])
local held = alive(old)
local wanted = tonumber(ARGV[8])
local text = ' ' .. ARGV[7] .. ' ' .. ARGV[10]
if wanted and wanted ~= held then
  return held == wanted + 1 and old == int(held) .. text and 1 or 0
end
local gone = {}
if not old and call('HLEN', KEY) >= tonumber(ARGV[9]) then
  local all = call('HGETALL', KEY)
  for i = 1, #all, 2 do
    if alive(all[i + 1]) == 0 then
      gone[#gone + 1] = all[i]
    end
  end
  if #gone == 0 then
    return -1
  end
end
spread('HDEL', KEY, gone)
call('HSET', KEY, ARGV[6], int(held + 1) .. text)
finish('1')
return 1
