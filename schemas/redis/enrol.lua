-- enrol: notes that a flusher lives, and answers with all that do.
--
-- Keeps:    no rule of docs/delivery.md: shards are spread by it, and a wrong spread is harmless.
-- Sent by:  flusher/redis/lease.py
-- KEYS:     1 flushers
-- ARGV:     1 the flusher's name · 2 milliseconds for which it counts as alive
-- Answers:  the names of all flushers that live, the sender's among them
-- Told:     the same again extends it. A flusher that would live longer than LEASE_TIMES_MAX of these times was noted before
--           Redis's clock was set back, and is forgotten like a dead one.

local flushers = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', flushers, '-inf', '(' .. string.format('%.0f', now))
redis.call('ZREMRANGEBYSCORE', flushers, '(' .. string.format('%.0f', now + LEASE_TIMES_MAX * ARGV[2]), '+inf')
redis.call('ZADD', flushers, string.format('%.0f', now + ARGV[2]), ARGV[1])
return redis.call('ZRANGE', flushers, 0, -1)
