-- choose_plan: chooses one plan of an erasure for good: the first that was offered.
--
-- Keeps:    rule 13 of docs/delivery.md. Rows of one erasure at a time are deleted, or a row could be counted twice.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 erasures
-- ARGV:     1 the erasure's id · 2 the plan that is offered
-- Answers:  {the plan that counts, the erasure's id}, or {an empty text, the id of the erasure that has to be done first}
-- Told:     the same again, or another plan, is answered with the plan that was chosen.

local erasures, id = KEYS[1], ARGV[1]
local planning = redis.call('HGET', erasures, ':planning')
if planning and planning ~= id then return {'', planning} end
if not redis.call('HGET', erasures, id .. ':settled') then redis.call('HSET', erasures, ':planning', id) end
redis.call('HSETNX', erasures, id .. ':plan', ARGV[2])
return {redis.call('HGET', erasures, id .. ':plan'), id}
