-- count_erased: counts the stored rows of an erasure in a shard as erased, and as leaving, once.
--
-- Keeps:    rules 12 and 13 of docs/delivery.md: they are counted before the first of them goes.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 checkpoint · 2 erased · 3 leaving
-- ARGV:     1 the erasure's id · from 2 on pairs of a total's field ("minute site") and a number of rows
-- Answers:  1: they were counted · 0: they had been
-- Told:     the same again is answered 0 and changes nothing.
-- include totals

local checkpoint, erased, leaving = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HSETNX', checkpoint, 'erasure-counted:' .. ARGV[1], 1) == 0 then return 0 end
local add = adding_to(erased)
for at = 2, #ARGV, 2 do redis.call('HINCRBY', leaving, add(ARGV[at], ARGV[at + 1]), ARGV[at + 1]) end
redis.call('HSET', leaving, 'erasure', ARGV[1])
return 1
