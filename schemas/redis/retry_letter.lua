-- retry_letter: appends the row of a dead letter to the stream again, in the step that takes the letter away.
--
-- Keeps:    rule 12 of docs/delivery.md: the row is in exactly one of the two.
-- Sent by:  forebay/stream.py
-- KEYS:     1 log · 2 dead
-- ARGV:     1 the letter's id · 2 the bytes of an entry of this one row
-- Answers:  1: it was appended · 0: the letter is gone
-- Told:     the same again is answered 0. The entry's producer is `dead`, which numbers no commits.

if redis.call('XDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', 'd', ARGV[2], 'n', 1, 'p', 'dead', 'c', 0)
return 1
