-- Writes what a node did with tasks that it holds ahead and nobody has touched: claims, and claims with their ends.
--
-- ARGV[5…]  for each group of tasks that become the same: how many · their status · when they ended, or the end of their
--           lease, or `+ms` from now by the clock of Redis · their state (see `tasks.lua`), in two parts: what stands before
--           their limits, and behind their lease · their ids, each behind its limits where how many has a `;` behind it
-- Returns   the time by Redis where it was asked (else 0), `areGatesOpened`, then the places, from 1 on, of the tasks that
--           this is not so simple for: they are as they were, and are written by `apply`
-- Guarantee as of `apply`
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
end

local HELD = 26388279066624
local ids, names, groups, limits = {}, {}, {}, {}

local function readGroups()
  local at, count = 5, 0
  while at <= #ARGV do
    local size, mark = match(ARGV[at], '^(%d+)(;?)$')
    local step = mark == '' and 1 or 2
    groups[#groups + 1] = { size = tonumber(size), st = ARGV[at + 1], time = ARGV[at + 2], head = ARGV[at + 3], tail = ARGV[at + 4] }
    for i = at + 5, at + 4 + size * step, step do
      local id = ARGV[i + step - 1]
      count = count + 1
      ids[count], names[count] = id, '=' .. id
      limits[count] = step == 2 and ARGV[i] or nil
    end
    at = at + 5 + size * step
  end
end

-- What the state of the tasks of a group has behind their limits, and their score in the agenda.
local function become(group)
  if OVER[group.st] then
    return ' -' .. group.tail, int(ENDED + ceil(tonumber(group.time)))
  end
  local lease = group.time
  if sub(lease, 1, 1) == '+' then
    lease = int(serverNow() + tonumber(sub(lease, 2)))
  end
  return ' ' .. lease .. group.tail, int(ceil(tonumber(lease)))
end

local function scoresOf(list)
  local all = {}
  for from = 1, #list, VALUES_MAX do
    for i, score in ipairs(call('ZMSCORE', AGENDA, unpack(list, from, min(from + VALUES_MAX - 1, #list)))) do
      all[from + i - 1] = score
    end
  end
  return all
end

readGroups()
local known, found = fetch(TASKS, names), scoresOf(ids)
local texts, scores, skipped, isHeld, leaving = {}, {}, {}, {}, {}
local at, written = 0, 0
for _, group in ipairs(groups) do
  local tail, score = become(group)
  local plain, isOver, before = group.head .. tail, OVER[group.st], written
  for i = at + 1, at + group.size do
    local held = found[i]
    if held and isHeld[held] == nil then
      isHeld[held] = tonumber(held) >= HELD
    end
    if held and isHeld[held] and not known[i] then
      local own = limits[i]
      if own and isOver then
        leaving[own] = (leaving[own] or 0) + 1
      end
      texts[2 * written + 1], texts[2 * written + 2] = names[i], own and group.head .. own .. tail or plain
      scores[2 * written + 1], scores[2 * written + 2] = score, ids[i]
      written = written + 1
    else
      skipped[#skipped + 1] = i
    end
  end
  at = at + group.size
  if written > before then
    add('p', before - written)
    add(group.st, written - before)
    if OVER[group.st] then
      countEnd(group.st, now, written - before)
    end
  end
end

local reply = { clock or 0, 0, unpack(skipped) }
if written > 0 then
  spread('HSET', TASKS, texts, 2)
  spread('ZADD', AGENDA, scores, 2)
  save()
  leaveGates(leaving)
  reply[2] = areGatesOpened()
  tell('updated')
  finish(cmsgpack.pack(reply))
end
return reply
