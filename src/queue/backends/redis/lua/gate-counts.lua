-- What most calls do to gates (`gates.lua`): tasks that name them come, start and end, which all of them let pass. The
-- texts are changed where they stand: to read and write all of each gate, and to make what that needs, takes three times
-- as long. Where it is not that simple, nothing is changed: `gates.lua` does it.
local gateCounts = {}

-- max, used, closedUntil, paused, rate, tasks, slices
local COUNTED_GATE = '^(%S+) (%d+) (%d+) ([01]) (%S+) (%d+)(.*)$'
-- As in `gates.lua`.
local GATE_SLICES, GATE_LIGHT, GATE_CROWD, GATE_CROWD_MAX = 20, 0.001, 50, 5000
local LIMITED_LANE = '^([^|]*|[^|]*|[^|]*)|([^|]+)|$'

-- What the first line of a task's identity says of its limits: nil where it has none, false where there is more to it. To
-- look for the strokes between which the keys stand takes a third of the time of a pattern.
function gateCounts.poolOf(text)
  local lineEnd = find(text, '\n', 1, true) or 0
  local first = find(text, '|', 1, true)
  local second = first and find(text, '|', first + 1, true)
  local third = second and find(text, '|', second + 1, true)
  if not second or second > lineEnd then
    return false
  elseif not third or third > lineEnd then
    return nil
  end
  local fourth = find(text, '|', third + 1, true)
  if not fourth or fourth > lineEnd or fourth == third + 1 then
    return false
  end
  local keys, after = sub(text, third + 1, fourth - 1), byte(text, fourth + 1)
  if after == 10 then
    return keys, keys
  end
  -- Behind a blank stand the weights, and before it whose turn it takes.
  return after == 32 and keys, keys .. sub(text, fourth + 1, lineEnd - 1)
end

-- How many tasks name each key, and what they weigh together, from numbers by `key,key` or `key,key weight,weight`.
local function byKey(pools)
  local names, counts, weights = {}, {}, {}
  local function count(key, tasks, weight)
    if not counts[key] then
      names[#names + 1], counts[key], weights[key] = key, 0, 0
    end
    counts[key], weights[key] = counts[key] + tasks, weights[key] + tasks * weight
  end
  for pool, tasks in pairs(pools) do
    if not find(pool, '[ ,]') then
      count(pool, tasks, 1)
    else
      local keys, own = match(pool, '^(%S+) ?(%S*)$')
      local each = string.gmatch(own, '[^,]+')
      for key in string.gmatch(keys, '[^,]+') do
        count(key, tasks, tonumber(each() or nil) or 1)
      end
    end
  end
  return names, counts, weights
end

local OPEN = ' 0 0 - '

-- The parts of a gate. To look for what lies in the midst of most, which are open and have no rate, takes half as long
-- as the pattern.
local function readGate(text)
  local middle = text and find(text, OPEN, 1, true)
  local blank = middle and find(text, ' ', 1, true)
  local used = blank and blank < middle and tonumber(sub(text, blank + 1, middle - 1))
  local tasks = used and tonumber(sub(text, middle + #OPEN))
  if tasks then
    return sub(text, 1, blank - 1), used, '0', '0', '-', tasks, ''
  end
  return match(text or '', COUNTED_GATE)
end

local function child(all, key)
  local one = all[key]
  if not one then
    one = {}
    all[key] = one
  end
  return one
end

-- What the gates are after `change` of each: of key and text, returns the new text, or nothing where it is not that
-- simple; and true where that is so for this key alone. Many gates have the same text, and become the same where
-- `alikeOf` gives the same table for their keys.
local function changedGates(names, alikeOf, change)
  local values = {}
  for from = 1, #names, VALUES_MAX do
    for i, text in ipairs(sound('HMGET', base .. 'gates', unpack(names, from, min(from + VALUES_MAX - 1, #names)))) do
      local name = names[from + i - 1]
      local alike = alikeOf(name)
      local changed, isOwn = alike[text], nil
      if not changed then
        changed, isOwn = change(name, text)
        if not changed then
          return nil
        end
        alike[text] = not isOwn and changed or nil
      end
      local size = #values
      values[size + 1], values[size + 2] = name, changed
    end
  end
  return values
end

local function alikeByCount(counts)
  local all = {}
  return function(name)
    return child(all, counts[name])
  end
end

function gateCounts.write(values)
  spread('HSET', base .. 'gates', values, 2)
end

-- Whether starts that weigh nearly nothing fit, as far as that is plain.
local function isLight(rate, slices)
  local sum = 0
  for counted in string.gmatch(slices, ':(%S+)') do
    sum = sum + (tonumber(counted) or math.huge)
  end
  return sum + GATE_LIGHT <= (tonumber(match(rate, '^(%S+)/') or nil) or 0)
end

-- Whether nodes may hold ahead what waits under a gate; where there are none, nobody asks.
local function mayBeHeld(rate, places, used)
  return (counters.holders or '') == '' or rate == '-' and leavesRoom(places, used)
end

-- A gate that nobody knew before.
local function newGate(name, limit, rate, tasks)
  if limit and rate and match(limit, '^%d+$') ~= '0' and tasks <= GATE_CROWD and call('EXISTS', base .. 'parked') == 0
    and mayBeHeld(rate, tonumber(limit), 0) then
    return limit .. ' 0 0 0 ' .. rate .. ' ' .. tasks
  end
end

-- The gates when tasks come that wait like any other, see `gates.laneFor`; `rules` is what they say of their keys.
function gateCounts.come(pools, rules)
  local names, counts = byKey(pools)
  for name in pairs(rules.most) do
    if not counts[name] then
      return nil
    end
  end
  local known = {}
  local function alikeOf(name)
    return child(child(child(known, rules.most[name] or ''), rules.rates[name] or ''), counts[name])
  end
  return changedGates(names, alikeOf, function(name, text)
    if not text then
      return newGate(name, rules.most[name], rules.rates[name], counts[name])
    end
    local most, used, closed, paused, rate, tasks, slices = readGate(text)
    if paused ~= '0' or closed ~= '0' or (rules.most[name] or most) ~= most or (rules.rates[name] or rate) ~= rate then
      return nil
    end
    local places, all = tonumber(most), tasks + counts[name]
    if places and (tonumber(used) >= places or all > places + min(GATE_CROWD * places, GATE_CROWD_MAX)) then
      return nil
    elseif rate ~= '-' and slices ~= '' and not isLight(rate, slices) or not mayBeHeld(rate, places, tonumber(used)) then
      return nil
    end
    return most .. ' ' .. used .. ' 0 0 ' .. rate .. ' ' .. all .. slices
  end)
end

-- The slices with starts of this weight, and when the first of them is out of the window, where that is new; nothing where it does not fit.
local function withStart(rate, slices, weight)
  local most, per = match(rate, '^(%S+)/(%S+)$')
  most, per = tonumber(most or nil), tonumber(per or nil)
  if not most or not per then
    return nil
  end
  local sliceMs = ceil(per / GATE_SLICES)
  local slice, sum, last, lastAt, lastWeight = now - now % sliceMs, weight, nil, nil, 0
  for at, from, counted in string.gmatch(slices, '() (%d+):(%S+)') do
    last, lastAt, lastWeight = tonumber(from), at, tonumber(counted) or math.huge
    if last + sliceMs + per <= now then
      return nil
    end
    sum = sum + lastWeight
  end
  if sum > most or (last and last > slice) then
    return nil
  elseif last == slice then
    return sub(slices, 1, lastAt) .. int(slice) .. ':' .. format('%.17g', lastWeight + weight)
  end
  return slices .. ' ' .. int(slice) .. ':' .. format('%.17g', weight), not last and slice + sliceMs + per
end

-- The gates when tasks start, and from when on some of them may open, by key.
function gateCounts.start(pools)
  local names, counts, weights = byKey(pools)
  local opens = {}
  local values = changedGates(names, alikeByCount(counts), function(name, text)
    local most, used, closed, paused, rate, tasks, slices = readGate(text)
    if paused ~= '0' or closed ~= '0' then
      return nil
    end
    local all, places = used + counts[name], tonumber(most)
    if places and all > places then
      return nil
    elseif rate ~= '-' then
      local opensAt
      slices, opensAt = withStart(rate, slices, weights[name])
      if not slices then
        return nil
      elseif opensAt then
        opens[#opens + 1] = int(opensAt)
        opens[#opens + 1] = name
      end
    end
    return most .. ' ' .. all .. ' 0 0 ' .. rate .. ' ' .. tasks .. slices, rate ~= '-'
  end)
  return values, opens
end

-- The gates when tasks are held ahead, see `gates.areRoomy`.
function gateCounts.hold(pools)
  local names, counts = byKey(pools)
  return changedGates(names, alikeByCount(counts), function(name, text)
    local most, used, closed, paused, rate, tasks = readGate(text)
    local all, places = used and used + counts[name], tonumber(most or nil)
    if paused == '0' and closed == '0' and rate == '-' and leavesRoom(places, all - 1) then
      return most .. ' ' .. int(all) .. ' 0 0 - ' .. tasks
    end
  end)
end

-- The gates when tasks have ended: nobody is where they stood.
function gateCounts.leave(pools)
  local names, counts = byKey(pools)
  return names, changedGates(names, alikeByCount(counts), function(name, text)
    local most, used, closed, paused, rate, tasks, slices = readGate(text)
    if not most then
      return nil
    end
    local isThread = sub(name, 1, 7) == 'thread:'
    if not isThread then
      tasks = max(0, tasks - counts[name])
    end
    return most .. ' ' .. max(0, used - counts[name]) .. ' ' .. closed .. ' ' .. paused .. ' ' .. rate .. ' ' .. tasks .. slices, isThread
  end)
end
