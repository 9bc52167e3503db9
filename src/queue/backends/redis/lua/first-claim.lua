-- What the first claim makes of a task, by ARGV[6…9] of a claim: the owner as a field, the owner as JSON, the end of the
-- lease or `+ms` from now, the status. Returns its state and when the lease ends; `limits` as in `tasks.lua`, mostly ''.
local function firstState(limits)
  local lease, started = ARGV[8], ARGV[9] == 'i' and int(now) or '-'
  if sub(lease, 1, 1) == '+' then
    lease = int(now + tonumber(sub(lease, 2)))
  end
  return '2 2 ' .. ARGV[9] .. ' = 0 0 0' .. limits .. ' ' .. lease .. ' 1 ' .. started .. ' - ' .. ARGV[6]
    .. ' - - 0 0 0 0\np' .. ARGV[9] .. int(now) .. '[' .. ARGV[7] .. ']\n', lease
end
