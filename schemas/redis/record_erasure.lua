-- record_erasure: writes an erasure down, forgets those that no longer stand, and raises the version that flushers watch.
--
-- Keeps:    rule 13 of docs/delivery.md: an erasure is known before anything is deleted.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 erasures
-- ARGV:     1 the erasure's id · 2 the erasure as JSON (schemas/erasure.py) · from 3 on fields of erasures that are over
-- Answers:  nothing
-- Told:     the same again raises the version once more, and changes nothing else.

for at = 3, #ARGV do redis.call('HDEL', KEYS[1], ARGV[at]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], ':version', 1)
