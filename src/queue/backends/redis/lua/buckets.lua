-- All tasks in order of sequence: `ids:<seq / 1000>` is a list of `seq % 1000` id, `buckets` knows which there are.
local BUCKETS, BUCKET_SIZE = base .. 'buckets', 1000

local function bucketOf(seq)
  local bucket = floor(seq / BUCKET_SIZE)
  return bucket, base .. 'ids:' .. int(bucket)
end

-- The last digits of a sequence say where in its bucket it is.
local function bucketEntry(seqText, id)
  return sub(seqText, -3) .. ' ' .. id
end

-- Appends entries, of the sequences from `first` on.
local function appendToBuckets(entries, first)
  local at = 1
  while at <= #entries do
    local seq = first + at - 1
    local bucket, key = bucketOf(seq)
    local count = min(#entries - at + 1, BUCKET_SIZE - seq % BUCKET_SIZE)
    if call('RPUSH', key, unpack(entries, at, at + count - 1)) == count then
      call('ZADD', BUCKETS, bucket, int(bucket))
    end
    at = at + count
  end
end

-- The sequence given last; where the counters were lost, one beyond all.
local function lastSeq()
  local seq = tonumber(counters.seq or nil)
  if not seq then
    local last = call('ZREVRANGE', BUCKETS, 0, 0)[1]
    seq = last and (tonumber(last) + 1) * BUCKET_SIZE or 0
  end
  return seq
end
