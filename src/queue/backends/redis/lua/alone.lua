-- Whether a new task would be the one that a claim takes now, since there is nothing else for it. The counters have been
-- read with `ready`.

-- Whether a claim has to look at tasks alone: not at groups of lanes, at nodes that hold some, at what falls due.
local function isPlain()
  local due = counters.due
  return counters.paused ~= '1' and not counters.quotas and (counters.holders or '') == ''
    and (not due or due == '' or (tonumber(due) or 0) > now)
end

-- See `lanes.lua`.
local function isNothingReady()
  local _, to = find(counters.ready or '', '^@[^\n]*\n')
  if (to or 0) < #(counters.ready or '') or call('EXISTS', HEADS) == 1 then
    return false
  end
  return find(counters.ready or '', '^@%S+ %S+ inf ') ~= nil or textOfField('front') == ''
end
