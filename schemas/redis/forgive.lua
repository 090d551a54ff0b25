-- forgive: takes rows that ClickHouse holds and that nobody accepted for accepted, once, because Redis lost their count.
--
-- Keeps:    rule 12 of docs/delivery.md, on a person's word.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 checkpoint · 2 accepted
-- ARGV:     1 a name for what is forgiven · from 2 on pairs of a total's field ("minute site") and a number of rows
-- Answers:  ok
-- Told:     the same again is answered `ok` and changes nothing.
-- include totals

if redis.call('HSETNX', KEYS[1], 'erasure-counted:' .. ARGV[1], 1) == 0 then return 'ok' end
local add = adding_to(KEYS[2])
for at = 2, #ARGV, 2 do add(ARGV[at], ARGV[at + 1]) end
return 'ok'
