-- All tasks in order of sequence: `ids:<seq / 512>` is a list of `seq % 512` id, `buckets` knows which there are.
local BUCKETS, BUCKET_SIZE = base .. 'buckets', 512

local function bucketOf(seq)
  local bucket = floor(seq / BUCKET_SIZE)
  return bucket, base .. 'ids:' .. int(bucket)
end

local function bucketEntry(seq, id)
  return (seq % BUCKET_SIZE) .. ' ' .. id
end

-- Appends tasks with the sequences from `first` on.
local function appendToBuckets(ids, first)
  local at = 1
  while at <= #ids do
    local seq = first + at - 1
    local bucket, key = bucketOf(seq)
    local count = min(#ids - at + 1, BUCKET_SIZE - seq % BUCKET_SIZE)
    local values = {}
    for i = 1, count do
      values[i] = bucketEntry(seq + i - 1, ids[at + i - 1])
    end
    if call('RPUSH', key, unpack(values)) == count then
      call('ZADD', BUCKETS, bucket, int(bucket))
    end
    at = at + count
  end
end
