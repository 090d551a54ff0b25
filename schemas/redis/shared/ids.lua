-- ids: puts entry ids in order, and takes the id out of an edge.
-- An id is `milliseconds-sequence`, each a number of 64 bits. They are compared as texts of 20 digits, because a number
-- of Lua is exact up to 53 bits only. An edge is `id rows bytes`; whatever follows the id is not looked at.
local function order(id)
  local milliseconds, sequence = string.match(id, '^(%d+)-(%d+)')
  return string.rep('0', 20 - #milliseconds) .. milliseconds .. string.rep('0', 20 - #sequence) .. sequence
end
local function id_of(edge)
  return string.match(edge, '^%S+')
end
