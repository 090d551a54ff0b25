-- reign: answers which server runs it, and under which history.
--
-- Keeps:    rule 17 of docs/delivery.md: what was read on the same connection before it came from this server.
-- Sent by:  flusher/redis/reading.py, flusher/redis/replicas.py and forebay/erase/replicated.py, with `redis_replicas` of 1 or more,
--           behind what is read; the last two ask again behind the write that follows, and compare
-- KEYS:     none, so it goes where the command before it went
-- ARGV:     none
-- Answers:  the reign (shared/reign)
-- Told:     the same again is answered the same. It only reads.
-- include reign

return reign()
