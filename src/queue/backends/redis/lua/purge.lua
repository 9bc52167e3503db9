-- Removes tasks that ended long ago, with their history; what somebody still has to judge by its result stays.
--
-- ARGV[5]   ended before, ms since the epoch
-- ARGV[6…]  the ids of such tasks, as `purgeable` gave them
-- Returns   the ids that were removed, and the threads that none of the tasks left names
-- Guarantee nothing of them is left, but entries of lanes that nobody takes for valid
local failure, answered = begin()
if failure then
  return failure
end
if answered then
  return cmsgpack.unpack(answered)
end

local top = ENDED + max(0, tonumber(ARGV[5]))

-- Those of the ids that still stand where they stood when they were looked for.
local function stillEnded()
  local found, asked = {}, {}
  for i = 6, #ARGV do
    asked[#asked + 1] = ARGV[i]
  end
  local verdicts = call('EXISTS', JUDGING) == 1 and fetch(JUDGING, asked) or {}
  for i, id in ipairs(asked) do
    local score = tonumber(call('ZSCORE', AGENDA, id) or nil)
    if score and score >= ENDED and score < top and not verdicts[i] then
      found[#found + 1] = id
    end
  end
  return found
end

-- The threads that the task shared and that nobody names without it.
local freed = {}
local function leaveThreads(task)
  for _, key in ipairs(limitsOf(task) ~= '' and turns.keysOf(task.limits) or {}) do
    local thread = gates.threadOf(key)
    if thread then
      gates.addTasks({ key }, -1)
      freed[#freed + 1] = gates.of(key).tasks == 0 and thread or nil
    end
  end
end

local ids = stillEnded()
if #ids > 0 then
  local touched, logs = {}, {}
  local texts, names = fetchBoth(ids), {}
  for i, id in ipairs(ids) do
    local seq = match(texts[2 * i - 1] or '', '^(%d+) ')
    if seq then
      local bucket, key = bucketOf(tonumber(seq))
      call('LREM', key, 1, bucketEntry(seq, id))
      touched[bucket] = key
    end
    names[#names + 1] = id
    names[#names + 1] = '=' .. id
    logs[i] = base .. 'l:' .. id
    local task = parse(id, texts[2 * i] or '')
    add(task.st, -1)
    taskTexts[id] = texts[2 * i - 1]
    leaveThreads(task)
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
  for from = 1, #logs, VALUES_MAX do
    call('DEL', unpack(logs, from, min(from + VALUES_MAX - 1, #logs)))
  end
  if rawget(gates, 'byKey') then
    gates.save()
  end
  tell('updated')
  finish(cmsgpack.pack({ ids, freed }))
end
return { ids, freed }
