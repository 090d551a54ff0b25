-- fields: keeps the fields of an entry as a list, names and values in turn.
-- In pieces, because a stranger's entry may have more fields than Lua can unpack at once.
local function keep_fields(list, fields)
  redis.call('DEL', list)
  for at = 1, #fields, 1000 do
    redis.call('RPUSH', list, unpack(fields, at, math.min(at + 999, #fields)))
  end
end
