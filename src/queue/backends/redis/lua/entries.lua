-- Entries as they are read: of what is ready, of what lies in front (see `lane-ends.lua`), and whether they still hold.
local READY_HEADER = '^@(%S+) (%d+) (%S+) (%d+)\n()'
local READY, LINE = '^(%S+) (%d+) (%S+) (%d+) (%S+)\n()', '^(%S+) (%d+) (%S+) ?(%d*)\n?()'

-- Whether a task was given this sequence. One whose identity is damaged goes to policy, which finds the damage.
local function hasSeq(text, seq)
  if find(text, seq .. ' ', 1, true) == 1 then
    return true
  end
  local own = match(text, '^(%d+) %S+ %S+ %S+ ')
  return not own or tonumber(own) == tonumber(seq)
end

-- The task an entry names, if the entry still holds; true for a task that never ran.
local function holds(id, seq, place, text, state)
  if not text or not hasSeq(text, seq) then
    return nil
  end
  if not state then
    return (place == '' or place == '0') or nil
  end
  local task = parse(id, state)
  if not task.isDamaged and isReady(task) and task.place == (tonumber(place) or 0) then
    return task
  end
end

-- Entries that did not hold were counted when they became stale.
local function forget(lane)
  if call('HEXISTS', STALE, lane) == 1 and call('HINCRBY', STALE, lane, -1) <= 0 then
    call('HDEL', STALE, lane)
  end
end
