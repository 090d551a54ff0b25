-- withdraw: forgets the last recorded edge, whose block was never stored, so that what is left of it is cut anew.
--
-- Keeps:    rules 2 and 6 of docs/delivery.md: it follows a person's word (`forebay settle`) on a block that can't be
--           delivered, and of which ClickHouse holds nothing.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint · 3 edges
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 the id of the edge
-- Answers:  ok · lease · moved: also when the last recorded edge is another one
-- Told:     the same again is answered `moved`.
-- include ids
-- include left_out
-- include fence

local checkpoint, edges = KEYS[2], KEYS[3]
if id_of(redis.call('LINDEX', edges, -1) or '') ~= ARGV[3] then return 'moved' end
forget_left_out(checkpoint, ARGV[3])
redis.call('RPOP', edges)
return 'ok'
