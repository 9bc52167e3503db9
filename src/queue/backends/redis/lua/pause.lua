-- Pauses the queue for all its processes, or lets it go on.
--
-- ARGV[5]   1 or 0
-- Guarantee once this has answered, no claim succeeds until it is set back
local failure = begin()
if failure then
  return failure
end
fields.paused = ARGV[5]
-- Nodes that hold tasks ahead listen for what is new.
tell('new')
finish()
return 1
