-- secure: writes behind everything that a recorded block rests on, so that a WAIT behind this script covers all of it.
--
-- Keeps:    rule 17 of docs/delivery.md: nobody acts on what a replica lacks.
-- Sent by:  flusher/redis/stream.py, with `redis_replicas` of 1 or more, and a WAIT behind it on the same connection
-- KEYS:     1 lease · 2 checkpoint
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 the reign in which it read the shard
-- Answers:  ok · lease · moved: also when another server answers, or the same one under another history
-- Told:     the same again is answered `ok`. The write takes no room, so a Redis at maxmemory runs it. It has to be one:
--           from 7.2 on WAIT looks at what this connection wrote, and not at what it asked.
-- include reign
-- include fence

if reign() ~= ARGV[3] then return 'moved' end
redis.call('EXPIRE', KEYS[2], 86400)
redis.call('PERSIST', KEYS[2])
return 'ok'
