-- follow: moves `stored` up to what ClickHouse holds, and makes the stream go on behind it, after Redis lost its tail.
--
-- Keeps:    rules 2 and 8 of docs/delivery.md.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint · 3 edges · 4 log
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 the last entry that ClickHouse holds a
--           block up to · 4 the last entry of this stream whose rows ClickHouse holds
-- Answers:  ok · lease · moved
-- Told:     the same again is answered `moved`. Redis's clock may be behind the edge; entries behind ARGV 4 may have ids
--           before it, and any fields.
-- include first_write
-- include ids
-- include left_out
-- include fence

local checkpoint, edges, log = KEYS[2], KEYS[3], KEYS[4]
write_first_without_room(checkpoint)
for _, edge in ipairs(redis.call('LRANGE', edges, 0, -1)) do forget_left_out(checkpoint, id_of(edge)) end
redis.call('DEL', edges)
redis.call('RPUSH', edges, ARGV[3] .. ' 0 0')
redis.call('HSET', checkpoint, 'stored', ARGV[3])

-- Where the clock is behind the edge, an XADD would give ids that nobody reads any more. So the stream is told of the
-- edge by an entry that goes again; XSETID would want a stream that is there. Where the stream is past the edge, the
-- XADD fails, and nothing has to be told.
if type(redis.pcall('XADD', log, ARGV[3], 'edge', '')) == 'string' then redis.call('XDEL', log, ARGV[3]) end

-- What came after the loss, and lies before the edge, is appended anew. All of it is, in its order: otherwise entries
-- that lie behind the edge already would be overtaken.
local after = ARGV[4]
local last = redis.call('XREVRANGE', log, '+', '(' .. after, 'COUNT', 1)
if #redis.call('XRANGE', log, '(' .. after, ARGV[3], 'COUNT', 1) == 1 then
  repeat
    local entries = redis.call('XRANGE', log, '(' .. after, last[1][1], 'COUNT', 100)
    for _, entry in ipairs(entries) do
      redis.call('XADD', log, '*', unpack(entry[2]))
      redis.call('XDEL', log, entry[1])
      after = entry[1]
    end
  until #entries == 0
end
return 'ok'
