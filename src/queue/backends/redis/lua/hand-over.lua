-- Stores a task as its first claim makes it, where nothing else is ready: what `insert` and then `claim` would do.
--
-- ARGV[5]      the id
-- ARGV[6…9]    the owner as a field, the owner as JSON, the end of the lease or `+ms` from now, the status
-- ARGV[10]     the task's identity without the sequence
-- Returns      the time and the task's sequence; nothing where it is not as simple as that: then nothing is written
-- Guarantee    sent again, the same is answered.
local failure, answered = begin(true)
if failure then
  return failure
end
if answered then
  local at, given = match(answered, '^(%d+) (%d+)$')
  return { tonumber(at), tonumber(given) }
end

local id = ARGV[5]

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

if not isPlain() or not isNothingReady() or call('HEXISTS', TASKS, id) == 1 then
  return {}
end

local seq = lastSeq() + 1
local seqText = int(seq)
local state, lease = firstState('')
call('HSET', TASKS, id, seqText .. ' ' .. ARGV[10], '=' .. id, state)
lease = tonumber(lease)
if lease then
  call('ZADD', AGENDA, int(ceil(lease)), id)
end
appendToBuckets({ bucketEntry(seqText, id) }, seq)
fields.seq = seqText
add(ARGV[9], 1)
tell('updated')
finish(int(now) .. ' ' .. seqText)
return { now, seq }
