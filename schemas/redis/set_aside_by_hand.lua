-- set_aside_by_hand: takes an entry that no block holds yet out of the stream, on a person's word, and keeps its fields.
--
-- Keeps:    rules 11 and 15 of docs/delivery.md: what an edge has reached stays in its block.
-- Sent by:  forebay/stream.py
-- KEYS:     1 log · 2 edges · 3 lease · 4 aside · 5 the key of this entry's fields
-- ARGV:     1 the entry's id · 2 why, and what could be read of it (schemas/aside.py)
-- Answers:  1: it is set aside · 0: it is not there, or a block holds it
-- Told:     the same again is answered 0. The shard's flusher may have read the entry already, so its lease is taken away.
-- include ids
-- include fields

local log, edges, lease, aside, kept = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local entry = redis.call('XRANGE', log, ARGV[1], ARGV[1])[1]
local last = redis.call('LINDEX', edges, -1) or '0-0'
if not entry or order(ARGV[1]) <= order(last) then return 0 end
redis.call('DEL', lease)
keep_fields(kept, entry[2])
redis.call('HSET', aside, ARGV[1], ARGV[2])
redis.call('XDEL', log, ARGV[1])
return 1
