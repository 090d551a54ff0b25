-- cut: records the edge of a shard's next block, before the block's first INSERT.
--
-- Keeps:    rules 2 and 3 of docs/delivery.md.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint · 3 edges · 4 log
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 the edge, "id rows bytes" ·
--           4 the reign in which the entries were read (shared/reign); empty: it is not compared
-- Answers:  ok · lease · moved: also when a block is recorded behind `stored` already, when the stream ends before the
--           edge, or in another reign
-- Told:     the same again is answered `moved`, because the edge is recorded. An edge behind the stream's end is refused:
--           what was read ahead of a failover may be lost, and new entries get those ids.
-- include first_write
-- include ids
-- include reign
-- include fence

local checkpoint, edges, log = KEYS[2], KEYS[3], KEYS[4]
if ARGV[4] ~= '' and ARGV[4] ~= reign() then return 'moved' end
local last = redis.call('LINDEX', edges, -1)
if last and id_of(last) ~= stored then return 'moved' end
if redis.call('EXISTS', log) == 1 then
  local facts = redis.call('XINFO', 'STREAM', log)
  for at = 1, #facts, 2 do
    if facts[at] == 'last-generated-id' and order(facts[at + 1]) < order(ARGV[3]) then return 'moved' end
  end
end
write_first_without_room(checkpoint)
-- The first cut of a shard records where the stream begins, so that a replay may begin there like at any edge.
if not last and stored == '0-0' then redis.call('RPUSH', edges, '0-0 0 0') end
redis.call('RPUSH', edges, ARGV[3])
return 'ok'
