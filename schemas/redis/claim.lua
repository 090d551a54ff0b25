-- claim: makes a recorded block its shard's current one, and gives it the next turn among the blocks of all shards.
--
-- Keeps:    rule 9 of docs/delivery.md.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 claims
-- ARGV:     1 the shard · 2 the block's name
-- Answers:  {turn, fields and values of the hash}, or {}: a later block of this stream has been claimed
-- Told:     the same again is answered with the same turn, and writes too, because a WAIT may follow (rule 17). No lease is asked for, because the lease may live on another
--           node of a cluster; only recorded blocks are claimed, their names say what they hold, and an older one never
--           replaces a later one. Names have fixed widths, so they sort as the blocks do.
-- include first_write

local claims = KEYS[1]
local incarnation = string.match(ARGV[2], '^[^:]+:')
local turn, block = string.match(redis.call('HGET', claims, ARGV[1]) or '', '^(%d+) (.+)$')
if block ~= ARGV[2] then
  if block and string.sub(block, 1, #incarnation) == incarnation and block > ARGV[2] then return {} end
  write_first_without_room(claims)
  turn = redis.call('HINCRBY', claims, 'turn', 1)
  redis.call('HSET', claims, ARGV[1], turn .. ' ' .. ARGV[2])
else
  redis.call('EXPIRE', claims, 86400)
  redis.call('PERSIST', claims)
end
return {tonumber(turn), redis.call('HGETALL', claims)}
