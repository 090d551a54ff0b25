-- attempt: takes one from each of several buckets, or from none if one of them is empty; or puts one back into each.
--
-- Keeps:    no rule of docs/delivery.md: passwords are tried slowly, from however many addresses, and whoever waits gets a turn
--           (dashboard/access/throttle.py).
-- Sent by:  dashboard/access/throttle.py
-- KEYS:     from 1 on the buckets, which have one hash tag
-- ARGV:     1 how many to take: 1, or -1 to put one back · from 2 on for each bucket how much comes in a second, and how much it
--           holds when it is full
-- Answers:  0: it was done · the number of the first bucket that is empty, and the seconds until it is not: nothing was taken
-- Told:     the same again is another attempt. A bucket that is full has no key: the key expires when it would be full.

local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local take = tonumber(ARGV[1])
local levels, seconds = {}, {}
for at = 2, #ARGV, 2 do
  local bucket, rate, burst = at / 2, tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local kept = redis.call('HMGET', KEYS[bucket], 'level', 'at')
  local level = burst
  if kept[1] then
    level = math.min(burst, kept[1] + math.max(0, now - kept[2]) * rate)
  end
  if level < take then
    return {bucket, math.ceil((take - level) / rate)}
  end
  levels[bucket] = math.min(burst, level - take)
  seconds[bucket] = math.ceil((burst - levels[bucket]) / rate)
end
for at = 1, #KEYS do
  if seconds[at] > 0 then
    redis.call('HSET', KEYS[at], 'level', string.format('%.3f', levels[at]), 'at', string.format('%.6f', now))
    redis.call('EXPIRE', KEYS[at], seconds[at])
  else
    redis.call('DEL', KEYS[at])
  end
end
return {0, 0}
