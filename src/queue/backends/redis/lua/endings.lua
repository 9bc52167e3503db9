-- Tasks that end: how they are counted, and how many of their events are kept.
--
-- An end counts for the minute it happened in: `minute` in the counters holds the newest, the hash `minutes` older ones.
local HISTORY_EVENTS_MAX = 500
local OVER = { c = true, f = true, x = true, s = true }
local MINUTE = '^(%d+) (%d+) (%d+) (%d+) (%d+)$'
local END_AT = { c = 2, f = 3, x = 4, s = 5 }
local endings = {}

local function countEnd(status, at, count)
  local minute = floor(at / 60000)
  local ends = endings[minute]
  if not ends then
    ends = { int(minute), 0, 0, 0, 0 }
    endings[minute] = ends
  end
  ends[END_AT[status]] = ends[END_AT[status]] + (count or 1)
end

local function addEnds(text, ends)
  local minute, c, f, x, s = match(text or '', MINUTE)
  if minute == ends[1] then
    return minute .. ' ' .. (c + ends[2]) .. ' ' .. (f + ends[3]) .. ' ' .. (x + ends[4]) .. ' ' .. (s + ends[5])
  end
  return table.concat(ends, ' ')
end
