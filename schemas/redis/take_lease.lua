-- take_lease: gives a shard that nobody holds to a flusher, under a generation that no holder had before.
--
-- Keeps:    rule 2 of docs/delivery.md (every fenced script compares the lease's value), and the `run` of rule 8.
-- Sent by:  flusher/redis/lease.py
-- KEYS:     1 lease · 2 checkpoint · 3 incarnation
-- ARGV:     1 the flusher's name · 2 milliseconds until the lease ends · 3 a random name for the stream, which is used if
--           it has none yet · 4 the run id of the Redis that was asked
-- Answers:  {generation, incarnation}, or nil: somebody holds the lease
-- Told:     the same again is answered nil, because the first one took the lease.
-- include first_write

local lease, checkpoint, incarnation = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', lease) == 1 then return false end
write_first_without_room(checkpoint)
local generation = redis.call('HINCRBY', checkpoint, 'generation', 1)
redis.call('SET', incarnation, ARGV[3], 'NX')
redis.call('HSET', checkpoint, 'run', ARGV[4])
redis.call('SET', lease, generation .. ':' .. ARGV[1], 'PX', ARGV[2])
return {generation, redis.call('GET', incarnation)}
