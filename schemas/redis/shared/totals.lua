-- totals: adds to a hash of totals by `minute site`.
-- A hash that has TOTALS_MAX fields takes no new ones: what would be one is added to its minute's field OTHER, so that
-- strangers who invent sites can't fill Redis (schemas/ledger.py). Each call returns the field that was added to.
local function adding_to(totals)
  local is_full = redis.call('HLEN', totals) >= TOTALS_MAX
  return function(field, count)
    if is_full and redis.call('HEXISTS', totals, field) == 0 then field = string.match(field, '^%d+') .. ' ' .. OTHER end
    redis.call('HINCRBY', totals, field, count)
    return field
  end
end
