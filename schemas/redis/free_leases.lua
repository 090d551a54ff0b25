-- free_leases: takes the leases of all shards away, and forgets all flushers.
--
-- Keeps:    rule 8 of docs/delivery.md, as release_lease does. What the dead flusher was inserting may still run; its
--           successor waits for that before it verifies (rule 3).
-- Sent by:  forebay/embedded/redis.py, when the only flusher of this Redis is known to be dead
-- KEYS:     1 shards · 2 flushers
-- ARGV:     1 the lease key of shard 0 · 2 the checkpoint key of shard 0; the other shards' keys are made of these
-- Answers:  how many keys of flushers there were, 0 or 1
-- Told:     the same again changes nothing. Told while a flusher lives, it makes that flusher stop its shards.

for shard = 0, tonumber(redis.call('GET', KEYS[1]) or '0') - 1 do
  local tag = '{' .. shard .. '}'
  redis.call('DEL', (string.gsub(ARGV[1], '{0}', tag)))
  redis.call('HDEL', (string.gsub(ARGV[2], '{0}', tag)), 'run')
end
return redis.call('DEL', KEYS[2])
