-- A store object with nothing to do stands by for the next task, see `grant.lua`: or no longer.
--
-- `standby`   a sorted set of what such a one would claim, by when it came
-- `granted`   store object -> the id it was granted and has not said that it heard of
--
-- ARGV[5]   what it would claim: its name, the owner as a field and as JSON, the lease as `+ms`, the status, and the
--           filter as a claim has it, with line breaks between; empty: it no longer stands by
-- ARGV[6]   what it said last; may be empty
-- Returns   the id it was granted: then it does not stand by, and has to look after that one first
local KEPT_MS = 86400000
local failure = begin()
if failure then
  return failure
end
-- Of what died without a word little is left, for a while.
local name, granted = base .. 'standby', base .. 'granted'
local id = sound('HGET', granted, ARGV[2])
if ARGV[6] ~= '' then
  sound('ZREM', name, ARGV[6])
end
if not id and ARGV[5] ~= '' then
  sound('ZADD', name, serverNow(), ARGV[5])
  call('ZREMRANGEBYSCORE', name, '-inf', serverNow() - KEPT_MS)
  call('PEXPIRE', granted, KEPT_MS)
end
return id and { id } or {}
