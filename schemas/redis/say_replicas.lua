-- say_replicas: records how many replicas a process waits for, where that is more than all before it have said.
--
-- Keeps:    rule 17 of docs/delivery.md: ingest sends nothing again that a flusher stored without waiting.
-- Sent by:  runtime/replicas.py, at the start of a process, and where nothing is recorded any more
-- KEYS:     1 replicas
-- ARGV:     1 the setting `redis_replicas` of the sender
-- Answers:  the greater number of the two, which the sender goes by
-- Told:     the same again changes nothing. A person lowers the number, by SET.

local known = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if tonumber(ARGV[1]) <= known then return known end
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[1])
