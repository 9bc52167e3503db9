-- Pauses the queue for all its processes, or lets it go on.
--
-- ARGV[5]   1 or 0
-- Guarantee once this has answered, no claim succeeds until it is set back
local failure = begin()
if failure then
  return failure
end
fields.paused = ARGV[5]
tell(ARGV[5] == '1' and 'recall' or 'new')
finish()
return 1
