-- assure: writes what changes nothing, so that a WAIT behind it says whether the replicas still hear this server.
--
-- Keeps:    rule 17 of docs/delivery.md: what was read on the same connection before it is not what an old primary has.
-- Sent by:  flusher/redis/replicas.py and forebay/erase/replicated.py, with `redis_replicas` of 1 or more, and a WAIT behind it
-- KEYS:     1 a key that never expires, which need not exist
-- ARGV:     none
-- Answers:  nothing
-- Told:     the same again changes nothing either. It has to write: before 7.2 a WAIT without one counts replicas that may be
--           cut off for as long as nobody noticed.
-- include first_write

write_first_without_room(KEYS[1])
if redis.call('EXPIRE', KEYS[1], 86400) == 1 then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('SET', KEYS[1], '')
  redis.call('DEL', KEYS[1])
end
