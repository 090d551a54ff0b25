-- set_aside: takes an entry that can't be stored out of the stream before it is cut, and keeps its fields.
--
-- Keeps:    rules 2 and 15 of docs/delivery.md.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint · 3 edges · 4 log · 5 aside · 6 the key of this entry's fields
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 the entry's id · 4 why, and what could
--           be read of it (schemas/aside.py) · 5 the reign in which it was read (shared/reign); empty: it is not compared
-- Answers:  ok: it is set aside, or was gone already · lease · moved: also when a block is recorded behind `stored`, and
--           in another reign
-- Told:     the same again is answered `ok` and changes nothing. The entry may have any fields: a stranger may have
--           appended it.
-- include first_write
-- include ids
-- include fields
-- include reign
-- include fence

local checkpoint, edges, log, aside, kept = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
if ARGV[5] ~= '' and ARGV[5] ~= reign() then return 'moved' end
local last = redis.call('LINDEX', edges, -1)
if last and id_of(last) ~= stored then return 'moved' end
write_first_without_room(checkpoint)
local entry = redis.call('XRANGE', log, ARGV[3], ARGV[3])[1]
if entry then
  keep_fields(kept, entry[2])
  redis.call('HSET', aside, ARGV[3], ARGV[4])
  redis.call('XDEL', log, ARGV[3])
end
return 'ok'
