-- The logs of tasks, see task-log.ts. Each is a list, `l:` and the id: first `total bytes starts`, the bytes being
-- those of the pages kept and the starts `seq:first seq:first`; then the pages, `first count` \n text.
local LOG_ENTRIES_MAX, LOG_BYTES_MAX, STARTS_MAX = 5000, 524288, 500
local LOG_HEAD, LOG_PAGE = '^(%d+) (%d+) ?(.*)$', '^(%d+) (%d+)\n()'

local function headOf(key)
  local total, bytes, starts = match(sound('LINDEX', key, 0) or '', LOG_HEAD)
  return tonumber(total or 0), tonumber(bytes or 0), starts
end

local function dropOldest(key, total, bytes)
  while call('LLEN', key) > 1 do
    local page = call('LINDEX', key, 0)
    local first, count, at = match(page, LOG_PAGE)
    if first and first + count - 1 > total - LOG_ENTRIES_MAX and bytes <= LOG_BYTES_MAX then
      break
    end
    bytes = bytes - (#page - (at or 1) + 1)
    call('LPOP', key)
  end
  return bytes
end

-- Adds pages, each `count bytes` \n text, after the transition `seq`.
local function appendLog(id, seq, pages)
  local key = base .. 'l:' .. id
  local total, bytes, starts = headOf(key)
  local known = starts
  starts = starts or ''
  if match(starts, '(%d+):%d+$') ~= int(seq) then
    starts = starts .. (starts == '' and '' or ' ') .. int(seq) .. ':' .. int(total + 1)
    local _, count = string.gsub(starts, ':', '')
    if count > STARTS_MAX then
      starts = match(starts, ' (.*)$')
    end
  end
  if not known then
    call('RPUSH', key, '')
  end
  local at = 1
  while at <= #pages do
    local count, size, from = match(pages, '^(%d+) (%d+)\n()', at)
    call('RPUSH', key, int(total + 1) .. ' ' .. count .. '\n' .. sub(pages, from, from + size - 1))
    total, bytes, at = total + count, bytes + size, from + size
  end
  local isOver = total > LOG_ENTRIES_MAX or bytes > LOG_BYTES_MAX
  if isOver then
    call('LPOP', key)
    bytes = dropOldest(key, total, bytes)
  end
  local head = int(total) .. ' ' .. int(bytes) .. ' ' .. starts
  if isOver then
    call('LPUSH', key, head)
  else
    call('LSET', key, 0, head)
  end
end
