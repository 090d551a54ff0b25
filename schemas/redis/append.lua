-- append: takes exactly the next commit of a producer into a shard's stream, and counts its events as accepted.
--
-- Keeps:    rules 1 and 12 of docs/delivery.md.
-- Sent by:  ingest/commit/stream.py, loadtest/bench/primaries.py
-- KEYS:     1 log · 2 producers · 3 accepted · 4 seen
-- ARGV:     1 producer · 2 the commit's number, from 1 · 3 the entry's bytes · 4 its rows · from 5 on pairs of a total's
--           field ("minute site") and how many events are added to it
-- Answers:  ok: it was appended · done: Redis has this number already · gap N: a number before it is missing, and N is
--           the last that is here
-- Told:     the same commit again is answered `done` and changes nothing. 0 rows stand for a commit that a damaged spool
--           lost: only the number moves. The site of a total is whatever a stranger said, and is bounded (shared/totals).
-- include totals

local log, producers, accepted, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local producer = ARGV[1]
local last = tonumber(redis.call('HGET', producers, producer) or '0')
local number = tonumber(ARGV[2])
if number > last + 1 then return 'gap ' .. last end

-- When a producer was seen is noted once in PRODUCER_NOTED_SECONDS, so that a commit costs a look and no write. Each note forgets
-- two producers at most that were silent for PRODUCER_KEPT_SECONDS.
local now = tonumber(redis.call('TIME')[1])
if tonumber(redis.call('ZSCORE', seen, producer) or '0') < now - PRODUCER_NOTED_SECONDS then
  redis.call('ZADD', seen, now, producer)
  local silent = now - PRODUCER_KEPT_SECONDS - PRODUCER_NOTED_SECONDS
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', '(' .. silent, 'LIMIT', 0, 2)) do
    redis.call('HDEL', producers, gone)
    redis.call('ZREM', seen, gone)
  end
end

-- `done` writes too, and takes no room: the sender that was not answered the first time may not have been fsynced either,
-- and only a write is followed by an fsync, and counted by WAITAOF for this connection.
if number <= last then
  redis.call('EXPIRE', producers, 86400)
  redis.call('PERSIST', producers)
  return 'done'
end

if ARGV[4] ~= '0' then redis.call('XADD', log, '*', 'd', ARGV[3], 'n', ARGV[4], 'p', producer, 'c', ARGV[2]) end
redis.call('HSET', producers, producer, ARGV[2])
local add = adding_to(accepted)
for at = 5, #ARGV, 2 do add(ARGV[at], ARGV[at + 1]) end
return 'ok'
