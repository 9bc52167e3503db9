-- Reads a task's log.
--
-- ARGV[5]   the id
-- ARGV[6]   pages with entries above this one
-- ARGV[7]   at most so many
-- Returns   nothing without a log; else its total, its starts, and its pages as they lie there
local failure = begin()
if failure then
  return failure
end
local key, after = base .. 'l:' .. ARGV[5], tonumber(ARGV[6])
local total, _, starts = headOf(key)
if not starts then
  return {}
end
local reply = { total, starts }

-- The index of the first page that ends above `after`: they follow one another.
local function firstAbove()
  local low, high = 1, call('LLEN', key)
  while low < high do
    local middle = floor((low + high) / 2)
    local first, count = match(call('LINDEX', key, middle) or '', LOG_PAGE)
    if first and first + count - 1 > after then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local from = firstAbove()
for _, page in ipairs(call('LRANGE', key, from, from + ARGV[7] - 1)) do
  reply[#reply + 1] = page
end
return reply
