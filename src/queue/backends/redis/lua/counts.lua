-- Counts, without looking at every task.
--
-- Returns   paused (0/1), blocked, delayed, the creation of the longest waiting of the first ready tasks (empty: none),
--           the lanes of these with line breaks between, nine counts by status in the order p a i w r c f x s, then for some minutes `minute completed failed cancelled skipped`
local failure = begin(true)
if failure then
  return failure
end

local HEADS_SEEN_MAX, ENTRIES_STEP, LOOKED_AT_MAX = 200, 20, 1000
local oldest, looked
local lanes, isListed = {}, {}
local function consider(createdAt, lane)
  createdAt = tonumber(createdAt or nil)
  if createdAt and not isListed[lane] then
    isListed[lane] = true
    lanes[#lanes + 1] = lane
  end
  if createdAt and (not oldest or createdAt < oldest) then
    oldest = createdAt
  end
end

-- The creation of the first entry that holds, among `rank seq id place`.
local function firstValid(entries)
  local ids = {}
  for i, entry in ipairs(entries) do
    ids[i] = entry[2] or ''
  end
  local texts = fetchBoth(ids)
  for i, id in ipairs(ids) do
    local text, state = texts[2 * i - 1], texts[2 * i]
    local seq, _, createdAt = match(text or '', IDENTITY)
    local task = state and parse(id, state)
    local place = tonumber(entries[i][3]) or 0
    if seq and tonumber(seq) == tonumber(entries[i][1]) and (task and isReady(task) and task.place == place or not state and place == 0) then
      return createdAt
    end
  end
end

local function firstOf(head)
  local kind, from = sub(head, 1, 1), 0
  local key = base .. kind .. ':' .. sub(head, 2)
  repeat
    local entries = {}
    for i, entry in ipairs(redis.pcall(kind == 'r' and 'LRANGE' or 'ZRANGE', key, from, from + ENTRIES_STEP - 1)) do
      if kind == 'r' then
        local _, seq, id, place = match(entry, ENTRY)
        entries[i] = { seq or '', id, place }
      else
        entries[i] = { match(entry, SIDE_ENTRY) }
      end
    end
    local createdAt = firstValid(entries)
    if createdAt then
      return createdAt
    end
    looked = looked + #entries
    from = from + ENTRIES_STEP
  until #entries < ENTRIES_STEP or looked > LOOKED_AT_MAX
end

looked = 0
for seq, id, place, lane in string.gmatch(counters.ready or '', '%S+ (%d+) (%S+) (%d+) (%S+)\n') do
  if not isListed[lane] then
    consider(firstValid({ { seq, id, place } }), lane)
  end
end
for lane, lines in string.gmatch(textOfField('front'), '@([^\n]*)\n([^@]*)') do
  local entries = {}
  for line in string.gmatch(lines, '[^\n]+') do
    local _, seq, id, place = match(line, ENTRY)
    entries[#entries + 1] = { seq or '', id, place }
  end
  consider(firstValid(entries), lane)
end
for _, head in ipairs(call('ZRANGE', HEADS, 0, HEADS_SEEN_MAX - 1)) do
  consider(firstOf(head), sub(head, 2))
end
local due = call('ZRANGEBYSCORE', AGENDA, int(DELAYED), int(DELAYED + now), 'LIMIT', 0, LOOKED_AT_MAX)
for _, text in ipairs(fetch(TASKS, due)) do
  local _, _, createdAt, _, lane = match(text or '', IDENTITY)
  consider(createdAt, lane)
end

local function count(name)
  return max(0, tonumber(counters[name] or nil) or 0)
end

local reply = {
  counters.paused == '1' and 1 or 0,
  count('blocked'),
  call('ZCOUNT', AGENDA, '(' .. int(DELAYED + now), '(' .. int(ENDED)),
  oldest and int(oldest) or '',
  table.concat(lanes, '\n'),
}
for _, name in ipairs({ 'p', 'a', 'i', 'w', 'r', 'c', 'f', 'x', 's' }) do
  reply[#reply + 1] = count(name)
end
for _, ends in ipairs(call('HVALS', base .. 'minutes')) do
  reply[#reply + 1] = ends
end
reply[#reply + 1] = counters.minute or ''
return reply
