-- compared: notes that the replay tail was compared with the ClickHouse that runs, and sets `stored` back where blocks
-- of the tail have to be delivered again.
--
-- Keeps:    rules 2, 7 and 14 of docs/delivery.md.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint · 3 edges
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 where it goes: `stored` itself, or the
--           recorded edge before the first block that is short · 4 the unix ms at which that ClickHouse was started
-- Answers:  ok · lease · moved: also when ARGV 3 is no recorded edge at or before `stored`
-- Told:     the same again is answered `moved`, or changes nothing where `stored` stayed. Blocks that come again are
--           counted no second time: `counted` says how far they were.
-- include first_write
-- include ids
-- include fence

local checkpoint, edges = KEYS[2], KEYS[3]
local is_recorded = ARGV[3] == stored
for _, edge in ipairs(redis.call('LRANGE', edges, 0, -1)) do
  if id_of(edge) == ARGV[3] then is_recorded = true end
  if id_of(edge) == stored then break end
end
if not is_recorded then return 'moved' end
write_first_without_room(checkpoint)
if ARGV[3] ~= stored then
  if order(stored) > order(redis.call('HGET', checkpoint, 'counted') or '0-0') then
    redis.call('HSET', checkpoint, 'counted', stored)
  end
  redis.call('HSET', checkpoint, 'stored', ARGV[3])
end
redis.call('HSET', checkpoint, 'compared', ARGV[4])
return 'ok'
