-- trim: drops the entries up to a stored edge, the edges before it, and what was recorded under those.
--
-- Keeps:    rules 2 and 7 of docs/delivery.md. It takes no room, so a Redis at maxmemory runs it.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint · 3 edges · 4 log
-- ARGV:     1 the lease's value · 2 the id of the edge that becomes the floor · 3 the id right behind it
-- Answers:  ok · lease · moved: the edge is not recorded, or `stored` is not at or behind it
-- Told:     the same again is answered `ok` and changes nothing.
-- include ids
-- include left_out

local lease, checkpoint, edges, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('GET', lease) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', checkpoint, 'stored') or '0-0'
local floor
local behind = {}
for at, edge in ipairs(redis.call('LRANGE', edges, 0, -1)) do
  local id = id_of(edge)
  if id == ARGV[2] then floor = at - 1 end
  if not floor then behind[at] = id end
  if floor and id == stored then
    redis.call('LTRIM', edges, floor, -1)
    for _, gone in ipairs(behind) do forget_left_out(checkpoint, gone) end
    redis.call('XTRIM', log, 'MINID', ARGV[3])
    return 'ok'
  end
end
return 'moved'
