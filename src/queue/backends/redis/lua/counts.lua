-- Counts, without looking at every task.
--
-- Returns   paused (0/1), blocked, delayed, the creation of the longest waiting of the first ready tasks (empty: none),
--           nine counts by status in the order p a i w r c f x s, then pairs of `minute status` and how many ended
local failure = begin()
if failure then
  return failure
end

local HEADS_SEEN_MAX, ENTRIES_STEP, LOOKED_AT_MAX = 200, 20, 1000
local oldest, looked

local function consider(createdAt)
  createdAt = tonumber(createdAt or nil)
  if createdAt and (not oldest or createdAt < oldest) then
    oldest = createdAt
  end
end

-- The creation of a lane's first entry that holds.
local function firstOf(head)
  local kind, from = sub(head, 1, 1), 0
  local key = base .. kind .. ':' .. sub(head, 2)
  repeat
    local entries = redis.pcall(kind == 'r' and 'LRANGE' or 'ZRANGE', key, from, from + ENTRIES_STEP - 1)
    local ids, places, seqs = {}, {}, {}
    for i, entry in ipairs(entries) do
      local _, seq, id, place
      if kind == 'r' then
        _, seq, id, place = match(entry, ENTRY)
      else
        seq, id, place = match(entry, SIDE_ENTRY)
      end
      ids[i], places[i], seqs[i] = id or '', tonumber(place) or 0, tonumber(seq or nil)
    end
    local texts, states = fetch(TASKS, ids), fetch(STATES, ids)
    for i, id in ipairs(ids) do
      local seq, _, createdAt = match(texts[i] or '', IDENTITY)
      local task = states[i] and parse(id, states[i])
      if seq and tonumber(seq) == seqs[i] and (task and isReady(task) and task.place == places[i] or not states[i] and places[i] == 0) then
        return createdAt
      end
    end
    looked = looked + #ids
    from = from + ENTRIES_STEP
  until #ids < ENTRIES_STEP or looked > LOOKED_AT_MAX
end

looked = 0
for _, head in ipairs(call('ZRANGE', HEADS, 0, HEADS_SEEN_MAX - 1)) do
  consider(firstOf(head))
end
local due = call('ZRANGEBYSCORE', AGENDA, int(DELAYED), int(DELAYED + now), 'LIMIT', 0, LOOKED_AT_MAX)
for _, text in ipairs(fetch(TASKS, due)) do
  local _, _, createdAt = match(text or '', IDENTITY)
  consider(createdAt)
end

local function count(name)
  return max(0, tonumber(counters[name] or nil) or 0)
end

local reply = {
  counters.paused == '1' and 1 or 0,
  count('blocked'),
  call('ZCOUNT', AGENDA, '(' .. int(DELAYED + now), '(' .. int(ENDED)),
  oldest and int(oldest) or '',
}
for _, name in ipairs({ 'p', 'a', 'i', 'w', 'r', 'c', 'f', 'x', 's' }) do
  reply[#reply + 1] = count(name)
end
for _, value in ipairs(call('HGETALL', base .. 'minutes')) do
  reply[#reply + 1] = value
end
return reply
