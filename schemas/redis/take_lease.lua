-- take_lease: gives a shard that nobody holds to a flusher, under a generation that no holder had before.
--
-- Keeps:    rule 2 of docs/delivery.md (every fenced script compares the lease's value), and the `run` of rule 8.
-- Sent by:  flusher/redis/lease.py
-- KEYS:     1 lease · 2 checkpoint · 3 incarnation
-- ARGV:     1 the flusher's name · 2 milliseconds until the lease ends · 3 a random name for the stream, which is used if
--           it has none yet · from 4 on the reigns (shared/reign) of which the sender has waited out a lease time
-- Answers:  {reign, generation, incarnation} · {reign}: the last holder saw another one, so a lease time must pass
--           first · nil: somebody holds the lease · an error: the server is a replica, and what is written there vanishes
-- Told:     the same again is answered nil, because the first one took the lease. The script asks for the reign itself,
--           so in a cluster no other node than the shard's can be asked.
-- include first_write
-- include reign

local lease, checkpoint, incarnation = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', lease) == 1 then return false end
if not string.find(redis.call('INFO', 'replication'), 'role:master', 1, true) then
  return redis.error_reply('READONLY it is a replica now')
end
local now, known = reign(), redis.call('HGET', checkpoint, 'run')
if known and known ~= now then
  local is_waited_out = false
  for at = 4, #ARGV do is_waited_out = is_waited_out or ARGV[at] == now end
  if not is_waited_out then return {now} end
end
write_first_without_room(checkpoint)
local generation = redis.call('HINCRBY', checkpoint, 'generation', 1)
redis.call('SET', incarnation, ARGV[3], 'NX')
redis.call('HSET', checkpoint, 'run', now)
redis.call('SET', lease, generation .. ':' .. ARGV[1], 'PX', ARGV[2])
return {now, generation, redis.call('GET', incarnation)}
