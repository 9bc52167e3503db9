-- One slice of the list of all tasks, in order of sequence.
--
-- ARGV[5]   only sequences above this one
-- ARGV[6]   at most so many tasks
-- ARGV[7]   letters of the statuses, '*' all
-- ARGV[8]   agent types between blanks, '*' all
-- ARGV[9]   created at or after, or empty
-- Returns   the sequence to go on from (empty at the end), then four for each task: id, `t`, `s`, blockers, where the
--           id is preceded by its sequence and a blank
local failure = begin()
if failure then
  return failure
end

local LOOKED_AT_MAX, BYTES_MAX, STEP = 1024, 1024 * 1024, 64
local after, limit, statuses, types, createdAfter = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8], tonumber(ARGV[9])
local reply, found, looked, bytes, last = { '' }, 0, 0, 0, after

local function matches(text, state)
  local _, _, createdAt, _, lane = match(text, IDENTITY)
  if createdAfter and not (tonumber(createdAt or 0) >= createdAfter) then
    return false
  end
  if types ~= '*' then
    local agentType = match(lane or '', '^[^|]*|([^|]+)|')
    if not agentType or not find(types, ' ' .. agentType .. ' ', 1, true) then
      return false
    end
  end
  if statuses == '*' then
    return true
  end
  local status = state and (match(state, '^%d+ %d+ (%l) ') or 'f') or 'p'
  return find(statuses, status, 1, true) ~= nil
end

-- False when the page is full.
local function show(bucket, entries, from)
  local ids, seqs = {}, {}
  for i = from, min(from + STEP - 1, #entries) do
    local offset, id = match(entries[i], '^(%d+) (.+)$')
    local seq = offset and bucket * BUCKET_SIZE + tonumber(offset) or 0
    if seq > after then
      ids[#ids + 1] = id
      seqs[#seqs + 1] = seq
    end
  end
  local texts = fetchBoth(ids)
  for i, id in ipairs(ids) do
    if found == limit or looked >= LOOKED_AT_MAX or bytes > BYTES_MAX then
      return false
    end
    looked, last = looked + 1, seqs[i]
    local text, state = texts[2 * i - 1], texts[2 * i]
    if text and matches(text, state) then
      found = found + 1
      bytes = bytes + #text + #(state or '')
      local size = #reply
      pushRecord(reply, id, text, state)
      reply[size + 1] = int(seqs[i]) .. ' ' .. id
    end
  end
  return true
end

local function walk()
  local bucket = bucketOf(after)
  while true do
    -- By the score: a foreign member must not stop the list.
    local nearest = call('ZRANGEBYSCORE', BUCKETS, bucket, '(9007199254740992', 'WITHSCORES', 'LIMIT', 0, 1)
    if #nearest == 0 then
      return true
    end
    bucket = ceil(tonumber(nearest[2]))
    local entries = call('LRANGE', base .. 'ids:' .. int(bucket), 0, -1)
    for from = 1, #entries, STEP do
      if not show(bucket, entries, from) then
        return false
      end
    end
    bucket = bucket + 1
  end
end

if not walk() then
  reply[1] = int(last)
end
return reply
