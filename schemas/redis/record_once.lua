-- record_once: writes a field of the checkpoint that is written once: which rows a block leaves out, or that an erasure
-- is acknowledged.
--
-- Keeps:    rules 2, 6, 9, 11 and 13 of docs/delivery.md: every delivery of a block leaves out the same rows, so whoever
--           finds others reads the checkpoint again.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 the field · 4 its value
-- Answers:  ok: the field has this value · lease · moved: also when it has another one
-- Told:     the same again is answered `ok`.
-- include first_write
-- include fence

local checkpoint = KEYS[2]
write_first_without_room(checkpoint)
if redis.call('HSETNX', checkpoint, ARGV[3], ARGV[4]) == 1 then return 'ok' end
return redis.call('HGET', checkpoint, ARGV[3]) == ARGV[4] and 'ok' or 'moved'
