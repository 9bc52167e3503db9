-- What the first claim makes of a task, by ARGV[6…9] of a claim, or those of `by`: the owner as a field, the owner as
-- JSON, the end of the lease or `+ms` from now, the status. Returns its state and when the lease ends; `limits` as in
-- `tasks.lua`, mostly ''.
local function firstState(limits, by)
  by = by or ARGV
  local lease, started = by[8], by[9] == 'i' and int(now) or '-'
  if sub(lease, 1, 1) == '+' then
    lease = int(now + tonumber(sub(lease, 2)))
  end
  return '2 2 ' .. by[9] .. ' = 0 0 0' .. limits .. ' ' .. lease .. ' 1 ' .. started .. ' - ' .. by[6]
    .. ' - - 0 0 0 0\np' .. by[9] .. int(now) .. '[' .. by[7] .. ']\n', lease
end
