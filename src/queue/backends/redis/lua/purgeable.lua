-- The tasks that ended long ago, but for those somebody still has to judge by their result.
--
-- ARGV[5]   ended before, ms since the epoch
-- ARGV[6]   at most so many
-- Returns   their ids, which of these are threads that stored tasks share, and threads that no stored task names any
--           more (see threads.lua); what nobody needs any more of gates and turns is forgotten meanwhile
local failure = begin()
if failure then
  return failure
end

local LIMIT, STEP = tonumber(ARGV[6]), 1000
local top = '(' .. int(ENDED + max(0, tonumber(ARGV[5])))

local function findEnded()
  local found, offset = {}, 0
  repeat
    local ids = call('ZRANGEBYSCORE', AGENDA, int(ENDED), top, 'LIMIT', offset, STEP)
    local verdicts = #ids > 0 and call('EXISTS', JUDGING) == 1 and fetch(JUDGING, ids) or {}
    for i, id in ipairs(ids) do
      if #found < LIMIT and not verdicts[i] then
        found[#found + 1] = id
      end
    end
    offset = offset + #ids
  until #found >= LIMIT or #ids < STEP
  return found
end

local function sharedAmong(ids)
  local shared = {}
  for _, id in ipairs(counters.quotas and ids or {}) do
    if gates.of('thread:' .. id).tasks > 0 then
      shared[#shared + 1] = id
    end
  end
  return shared
end

idle.forget(max(0, tonumber(ARGV[5])))
local ids = findEnded()
return { ids, sharedAmong(ids), idle.threads }
