-- erase_letter: takes a dead letter away and counts its row as erased, in one step.
--
-- Keeps:    rules 12 and 13 of docs/delivery.md.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 dead · 2 erased
-- ARGV:     1 the letter's id · 2 the field of its total ("minute site"), or an empty text for a minute that the ledger
--           has forgotten
-- Answers:  1: it was erased · 0: it was gone
-- Told:     the same again is answered 0.
-- include totals

if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= '' then adding_to(KEYS[2])(ARGV[2], 1) end
return 1
