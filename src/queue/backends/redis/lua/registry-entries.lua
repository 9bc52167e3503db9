-- The entries of a section of the registry; those that are over are removed.
--
-- ARGV[5]   section
-- Returns   for each that is alive: key, version, when it is over (empty: never), text
local failure = begin()
if failure then
  return failure
end
local KEY = base .. 'registry:' .. ARGV[5]
local all, reply, gone = call('HGETALL', KEY), {}, {}
for i = 1, #all, 2 do
  local version, over, text = match(all[i + 1], '^(%d+) (%d*) (.*)$')
  if not version or (over ~= '' and tonumber(over) <= now) then
    gone[#gone + 1] = all[i]
  else
    for _, value in ipairs({ all[i], version, over, text }) do
      reply[#reply + 1] = value
    end
  end
end
spread('HDEL', KEY, gone)
return reply
