-- release_lease: gives a lease back, so that a successor need not wait until it ends.
--
-- Keeps:    rule 8 of docs/delivery.md: without `run` a successor on another Redis need not wait either.
-- Sent by:  flusher/redis/lease.py
-- KEYS:     1 lease · 2 checkpoint
-- ARGV:     1 the lease's value
-- Answers:  1: it was given back · 0: it is not the sender's any more
-- Told:     the same again is answered 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[2], 'run')
redis.call('DEL', KEYS[1])
return 1
