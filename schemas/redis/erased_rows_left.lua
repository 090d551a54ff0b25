-- erased_rows_left: notes that no row of an erasure is left in ClickHouse: nothing of this shard is leaving any more.
--
-- Keeps:    rule 12 of docs/delivery.md.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 leaving
-- ARGV:     1 the erasure's id
-- Answers:  nothing
-- Told:     the same again changes nothing; nor does it when another erasure's rows are leaving.

if redis.call('HGET', KEYS[1], 'erasure') == ARGV[1] then redis.call('DEL', KEYS[1]) end
