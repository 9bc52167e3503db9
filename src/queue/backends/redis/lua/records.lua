-- Records in a reply: id, its identity, its state (empty without one), and what it still waits for.
local function pushRecord(reply, id, text, state)
  local blocked = state and match(state, '^%d+ %d+ %l %S+ (%d+) ')
  local size = #reply
  reply[size + 1] = id
  reply[size + 2] = text
  reply[size + 3] = state or ''
  reply[size + 4] = blocked and blocked ~= '0' and blockersOf(id) or ''
end

local function pushRecords(reply, ids)
  local texts = fetchBoth(ids)
  for i, id in ipairs(ids) do
    if texts[2 * i - 1] then
      pushRecord(reply, id, texts[2 * i - 1], texts[2 * i])
    end
  end
  return reply
end
