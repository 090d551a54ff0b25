-- rate: counts a request of an API key in its hour, unless the key has used up what it may ask in an hour.
--
-- Keeps:    no rule of docs/delivery.md: a client that asks without end must not keep ClickHouse from the others.
-- Sent by:  dashboard/sites/keys.py
-- KEYS:     1 rate
-- ARGV:     1 how many requests the key may make in an hour · 2 seconds for which the number is kept
-- Answers:  how many more it may make; -1: this one is one too many, and was not counted
-- Told:     the same again is another request.

local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local limit = tonumber(ARGV[1])
if used >= limit then return -1 end
used = redis.call('INCR', KEYS[1])
if used == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return limit - used
