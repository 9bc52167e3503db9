-- Removes tasks that ended long ago, with their history; what somebody still has to judge by its result stays.
--
-- ARGV[5]   ended before, ms since the epoch
-- ARGV[6]   at most so many
-- Returns   their ids
-- Guarantee nothing of them is left, but entries of lanes that nobody takes for valid
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
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

local ids = findEnded()
if #ids > 0 then
  local touched = {}
  local texts, names = fetchBoth(ids), {}
  for i, id in ipairs(ids) do
    local seq = tonumber(match(texts[2 * i - 1] or '', '^(%d+) ') or nil)
    if seq then
      local bucket, key = bucketOf(seq)
      call('LREM', key, 1, bucketEntry(seq, id))
      touched[bucket] = key
    end
    names[#names + 1] = id
    names[#names + 1] = '=' .. id
    local task = parse(id, texts[2 * i] or '')
    add(task.st, -1)
    if task.links == '1' then
      call('DEL', base .. 'd:' .. id)
    end
  end
  for bucket, key in pairs(touched) do
    if call('EXISTS', key) == 0 then
      call('ZREM', BUCKETS, int(bucket))
    end
  end
  spread('HDEL', TASKS, names)
  spread('ZREM', AGENDA, ids)
  tell('updated')
  finish(cmsgpack.pack(ids))
end
return ids
