-- enter: binds the holder of a lease to the server that runs the script, before it reads the shard there.
--
-- Keeps:    rule 17 of docs/delivery.md: what was read in one reign is never cut in another.
-- Sent by:  flusher/redis/stream.py, with `redis_replicas` of 1 or more, and a WAIT behind it on the same connection
-- KEYS:     1 lease · 2 checkpoint
-- ARGV:     1 the lease's value
-- Answers:  the reign (shared/reign) · lease: it is not the sender's any more
-- Told:     the same again is answered the same, and writes too, because a primary whose replicas don't answer was perhaps
--           succeeded by one of them.
-- include first_write
-- include reign

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
write_first_without_room(KEYS[2])
redis.call('HSET', KEYS[2], 'run', reign())
return reign()
