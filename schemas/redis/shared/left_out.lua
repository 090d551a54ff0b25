-- left_out: removes everything that was recorded under an edge (rule 7 of docs/delivery.md: it is kept for as long as
-- the edge is, and no longer).
local function forget_left_out(checkpoint, id)
  redis.call('HDEL', checkpoint, 'verdict:' .. id, 'duplicate:' .. id, 'buried:' .. id, 'erased:' .. id)
end
