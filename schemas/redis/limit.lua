-- limit: takes events from a bucket that all workers share, and answers what is left in it.
--
-- Keeps:    no rule of docs/delivery.md: it says how many events a site, or a client of one, has sent of late
--           (ingest/collect/limiter.py).
-- Sent by:  ingest/commit/stream.py
-- KEYS:     1 the bucket
-- ARGV:     1 events a second that fill it · 2 how many events it holds when it is full · 3 events to take · 4 how many it
--           holds at the most afterwards: a worker that took events while Redis was away says so how many are left
-- Answers:  how many events it holds, as a text; less than 0 where more were taken than there were
-- Told:     a script that is sent twice takes its events twice. A full bucket has no key: the key expires when the bucket is full.

local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = burst
if kept[1] then
  level = math.min(burst, kept[1] + math.max(0, now - kept[2]) * rate)
end
-- What is owed is never more than comes in LIMIT_DEBT_SECONDS, so a key is kept for little longer.
level = math.max(math.min(level - ARGV[3], tonumber(ARGV[4])), -rate * LIMIT_DEBT_SECONDS)
local seconds = math.ceil((burst - level) / rate)
if seconds > 0 then
  redis.call('HSET', KEYS[1], 'level', string.format('%.3f', level), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', KEYS[1], seconds)
else
  redis.call('DEL', KEYS[1])
end
return string.format('%.3f', level)
