-- Groups of lanes that are not claimed from like others: what waits under the same limits, and the backlogs that take
-- turns. See `gate.ts` and `turns.ts`.
--
-- A lane with a quota is named `priority|type|agent|keys|fairKey*weight`. Its group is the keys, or '*' and the fair key:
-- `heads:<group>`  the lanes of a group, as `heads` for those of no group
-- `groups`         groups without a fair key, by the rank of their first task, or a lower one
-- `line`           backlogs by the start of their next turn; member: that rank as 16 digits that sort, and the group
-- `turns`          hash: of each backlog where something waits, `start rank`
-- `ends`           where the last turn of the others ended
-- `parked`         members `key|group` of score 0: groups that are in neither, since this gate keeps them back
-- `quotas` in the counters: there may be any of these; then, a line each, the agents and types that are paused.
-- `turn` there: where the last turn began, and where the last one of the tasks without a fair key ended.
local turns = { quotas = {} }
local PLAIN_LANE = '^[^|]*|[^|]*|[^|]*$'

-- Whether one more than `used` may be held ahead of these places (none: any number), each with its own: half of them, or
-- so many, stay free for those who would start at once.
local FREE_MIN = 64

local function leavesRoom(places, used)
  return not places or places - used - 1 >= min(places / 2, FREE_MIN)
end

-- What a lane's name says of limits and turns; false for most.
function turns.quotaOf(lane)
  local quota = turns.quotas[lane]
  if quota == nil then
    if find(lane, PLAIN_LANE) then
      turns.quotas[lane] = false
      return false
    end
    local plain, keys, fair, weight = match(lane, '^([^|]*|[^|]*|[^|]*)|([^|]*)|([^*]*)%*?(.*)$')
    quota = keys and { limits = keys == '' and '' or ';' .. keys, weight = tonumber(weight) or 1, isFair = fair ~= '',
      plain = fair == '' and plain, group = fair ~= '' and '*' .. fair or keys } or false
    if quota then
      quota.keys = turns.keysOf(quota.limits)
    end
    turns.quotas[lane] = quota
  end
  return quota
end

later(turns, function()
  turns.limits = { [''] = {} }
  turns.GROUPS, turns.BACKLOGS, turns.STARTS = base .. 'groups', base .. 'line', base .. 'turns'
  turns.ENDS, turns.PARKED, turns.RANK_OFFSET = base .. 'ends', base .. 'parked', 4503599627370496

  -- The keys in a text `;key,key`.
  function turns.keysOf(limits)
    local keys = turns.limits[limits]
    if not keys then
      keys = {}
      if limits ~= '' and not find(limits, ',', 1, true) then
        keys[1] = sub(limits, 2)
      else
        for key in string.gmatch(limits, '[^;,]+') do
          keys[#keys + 1] = key
        end
      end
      turns.limits[limits] = keys
    end
    return keys
  end

  -- Where the last turn began, and where that of the tasks without a fair key ended.
  function turns.read()
    if not turns.at then
      local at, own = match(call('HGET', COUNTERS, 'turn') or '', '^(%d+) (%d+)$')
      turns.at, turns.own = tonumber(at or nil) or 0, tonumber(own or nil) or 0
    end
    return turns.at
  end

  function turns.member(group, rank)
    local sortable = max(0, min((tonumber(rank) or 0) + turns.RANK_OFFSET, 2 * turns.RANK_OFFSET - 1))
    return format('%016.0f', sortable) .. group
  end

  function turns.known(group)
    local start, rank = match(sound('HGET', turns.STARTS, group) or '', '^(%d+) (%S+)$')
    return tonumber(start or nil), rank
  end

  function turns.lineUp(group, start, rank)
    sound('ZADD', turns.BACKLOGS, int(start), turns.member(group, rank))
    sound('HSET', turns.STARTS, group, int(start) .. ' ' .. rank)
  end

  -- Lanes of this group have new first entries: rank and head of each. Where a gate keeps the group back, the next claim
  -- finds that again.
  function turns.arrive(quota, heads)
    local group, rank = quota.group, heads[1]
    sound('ZADD', base .. 'heads:' .. group, 'LT', unpack(heads))
    if heads[3] and tonumber(heads[3]) < tonumber(rank) then
      rank = heads[3]
    end
    if not counters.quotas then
      counters.quotas, fields.quotas = '1', '1'
    end
    if not quota.isFair then
      sound('ZADD', turns.GROUPS, 'LT', rank, group)
      return
    end
    local start, first = turns.known(group)
    if not start then
      start = max(turns.read(), tonumber(sound('ZSCORE', turns.ENDS, group) or nil) or 0)
      sound('ZREM', turns.ENDS, group)
    elseif tonumber(rank) >= (tonumber(first) or math.huge) then
      -- Other lanes of a backlog may be kept back where this one is not.
      if sound('ZSCORE', turns.BACKLOGS, turns.member(group, first)) then
        return
      end
      rank = first
    else
      sound('ZREM', turns.BACKLOGS, turns.member(group, first))
    end
    turns.lineUp(group, start, rank)
  end

  -- What this gate kept back may go on.
  function turns.unpark(key)
    if turns.areParked == nil then
      turns.areParked = call('EXISTS', turns.PARKED) == 1
    end
    local members = turns.areParked and sound('ZRANGEBYLEX', turns.PARKED, '[' .. key .. '|', '(' .. key .. '}') or {}
    if #members == 0 then
      return
    end
    for _, member in ipairs(members) do
      local group = sub(member, #key + 2)
      if sub(group, 1, 1) ~= '*' then
        local rank = sound('ZRANGE', base .. 'heads:' .. group, 0, 0, 'WITHSCORES')[2]
        if rank then
          sound('ZADD', turns.GROUPS, 'LT', rank, group)
        end
      else
        local start, rank = turns.known(group)
        if start then
          turns.lineUp(group, max(start, turns.read()), rank)
        end
      end
    end
    spread('ZREM', turns.PARKED, members)
    areOpened = true
    tell('new')
  end

  local function listAgain(quota)
    if call('EXISTS', base .. 'heads:' .. quota.group) == 0 then
      return
    elseif not quota.isFair then
      sound('ZADD', turns.GROUPS, 'LT', '-inf', quota.group)
      return
    end
    local start, rank = turns.known(quota.group)
    turns.lineUp(quota.group, start or turns.read(), rank or '0')
  end

  local function relistPiece(cursor, seen)
    local reply = call('HSCAN', TASKS, cursor, 'COUNT', 1000)
    for i = 2, #reply[2], 2 do
      local lane = match(reply[2][i], '^%d+ %S+ %S+ %S+ (%S*)[^\n]*\n')
      local quota = lane and turns.quotaOf(lane)
      if quota and not seen[quota.group] then
        seen[quota.group] = true
        listAgain(quota)
      end
    end
    return reply[1]
  end

  -- Groups that stood in a list which somebody overwrote are listed again, a piece at a time. `relist` in the counters:
  -- where the search for them among the tasks stands; absent when all is well.
  function turns.relist()
    local cursor, seen = call('HGET', COUNTERS, 'relist'), {}
    if not cursor then
      return
    end
    for _ = 1, 10 do
      cursor = relistPiece(cursor, seen)
      if cursor == '0' then
        call('HDEL', COUNTERS, 'relist')
        return
      end
    end
    call('HSET', COUNTERS, 'relist', cursor)
  end
end)
