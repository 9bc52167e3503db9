-- Claims of queues without limits and turns go without `groups.lua`: it would cost each of them its making.
local groups = nil
