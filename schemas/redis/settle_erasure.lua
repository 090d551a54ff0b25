-- settle_erasure: notes that the rows of an erasure are gone, so that those of the next may be deleted.
--
-- Keeps:    rule 13 of docs/delivery.md.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 erasures
-- ARGV:     1 the erasure's id · 2 the unix ms of now
-- Answers:  nothing
-- Told:     the same again keeps the first moment.

redis.call('HSETNX', KEYS[1], ARGV[1] .. ':settled', ARGV[2])
if redis.call('HGET', KEYS[1], ':planning') == ARGV[1] then redis.call('HDEL', KEYS[1], ':planning') end
