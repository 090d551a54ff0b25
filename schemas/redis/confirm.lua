-- confirm: answers how far a producer's commits are known here, so that a WAIT behind it says the same of the replicas.
--
-- Keeps:    rules 1 and 17 of docs/delivery.md.
-- Sent by:  ingest/commit/stream.py, with `redis_replicas` of 1 or more, and a WAIT behind it on the same connection
-- KEYS:     1 producers
-- ARGV:     1 producer
-- Answers:  the number of the last commit that was taken; 0: none is known
-- Told:     the same again is answered the same. It writes, and takes no room, because from 7.2 on WAIT looks at what
--           this connection wrote.

local number = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('PERSIST', KEYS[1])
return tonumber(number or '0')
