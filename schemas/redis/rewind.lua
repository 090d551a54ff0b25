-- rewind: sets `stored` back to a recorded edge and takes the lease away, so that the blocks behind it are delivered again.
--
-- Keeps:    rule 7 of docs/delivery.md.
-- Sent by:  forebay/stream.py
-- KEYS:     1 checkpoint · 2 edges · 3 lease
-- ARGV:     1 the id of the edge
-- Answers:  1: `stored` is there now · 0: it is no recorded edge at or before `stored`
-- Told:     the same again takes the lease away again, and changes nothing else. `counted` keeps how far blocks were
--           counted as stored before: metrics leave them out when they come again.
-- include ids

local checkpoint, edges, lease = KEYS[1], KEYS[2], KEYS[3]
local stored = redis.call('HGET', checkpoint, 'stored') or '0-0'
for _, edge in ipairs(redis.call('LRANGE', edges, 0, -1)) do
  local id = id_of(edge)
  if id == ARGV[1] then
    redis.call('DEL', lease)
    if order(stored) > order(redis.call('HGET', checkpoint, 'counted') or '0-0') then
      redis.call('HSET', checkpoint, 'counted', stored)
    end
    redis.call('HSET', checkpoint, 'stored', id)
    return 1
  end
  if id == stored then return 0 end
end
return 0
