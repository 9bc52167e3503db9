-- A node gives back tasks that it holds ahead.
--
-- ARGV[5]   the node
-- ARGV[6]   '1': it leaves, and gives back all
-- ARGV[7…]  ids; what it does not hold is left alone
-- Guarantee what is given back is claimable at once, under the fence that was reserved. May be sent twice
local failure = begin()
if failure then
  return failure
end
local node = readNodes()[ARGV[5]]
if not node then
  return 0
end
if ARGV[6] == '1' then
  endNode(ARGV[5], false)
else
  local own = {}
  for i = 7, #ARGV do
    local score = call('ZSCORE', AGENDA, ARGV[i])
    if score and tonumber(score) == HELD + node.number then
      own[#own + 1] = ARGV[i]
    end
  end
  giveBack(own, false)
end
finish()
return 1
