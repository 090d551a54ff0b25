-- accept_missing: takes rows that somebody deleted by hand for erased, once, and lets the replay tail go, because nothing
-- of before may be delivered again.
--
-- Keeps:    rules 7, 12 and 13 of docs/delivery.md.
-- Sent by:  forebay/erase/register.py
-- KEYS:     1 checkpoint · 2 erased · 3 edges · 4 log
-- ARGV:     1 a name for what is accepted · from 2 on pairs of a total's field ("minute site") and a number of rows
-- Answers:  ok · replay: a replay runs, and what it has not delivered yet would come back afterwards
-- Told:     the same again is answered `ok` and changes nothing.
-- include ids
-- include totals
-- include left_out

local checkpoint, erased, edges, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stored = redis.call('HGET', checkpoint, 'stored') or '0-0'
if order(stored) < order(redis.call('HGET', checkpoint, 'counted') or '0-0') then return 'replay' end
if redis.call('HSETNX', checkpoint, 'erasure-counted:' .. ARGV[1], 1) == 0 then return 'ok' end
local add = adding_to(erased)
for at = 2, #ARGV, 2 do add(ARGV[at], ARGV[at + 1]) end
local recorded = redis.call('LRANGE', edges, 0, -1)
for at, edge in ipairs(recorded) do
  if id_of(edge) == stored then
    redis.call('LTRIM', edges, at - 1, -1)
    for behind = 1, at - 1 do forget_left_out(checkpoint, id_of(recorded[behind])) end
    local milliseconds, sequence = string.match(stored, '(%d+)-(%d+)')
    redis.call('XTRIM', log, 'MINID', milliseconds .. '-' .. string.format('%.0f', sequence + 1))
  end
end
return 'ok'
