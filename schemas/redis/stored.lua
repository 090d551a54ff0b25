-- stored: moves `stored` over a block that ClickHouse holds; buries its dead rows, and counts its copies and its erased
-- rows, in the same step and once for each edge.
--
-- Keeps:    rules 2, 6, 9 and 12 of docs/delivery.md.
-- Sent by:  flusher/redis/stream.py
-- KEYS:     1 lease · 2 checkpoint · 3 dead · 4 duplicate · 5 edges · 6 erased
-- ARGV:     1 the lease's value · 2 where the sender believes `stored` to be · 3 the block's last entry · 4 how many
--           totals of copies follow · 5 how many totals of erased rows follow those · from 6 on these totals, pairs of a
--           field ("minute site") and a number · behind them dead letters, five values each: row, reason, text,
--           first_seen, block
-- Answers:  ok · lease · moved: also when the block's last entry is no recorded edge
-- Told:     the same again is answered `moved`. A block that is replayed is counted and buried no second time. An edge
--           that Redis lost with its tail is refused: no entry may have come there yet.
-- include first_write
-- include ids
-- include totals
-- include fence

local checkpoint, dead, duplicate, edges, erased = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local function is_recorded(first)
  for _, edge in ipairs(redis.call('LRANGE', edges, first, -1)) do
    if id_of(edge) == ARGV[3] then return true end
  end
end
-- Mostly it is the last edge; the whole list is read only where it is not among the last two.
if not is_recorded(-2) and not is_recorded(0) then return 'moved' end
write_first_without_room(checkpoint)
if #ARGV > 5 and redis.call('HSETNX', checkpoint, 'buried:' .. ARGV[3], 1) == 1 then
  local first_erased = 6 + 2 * ARGV[4]
  local first_letter = first_erased + 2 * ARGV[5]
  local add_copies, add_erased = adding_to(duplicate), adding_to(erased)
  for at = 6, first_erased - 1, 2 do add_copies(ARGV[at], ARGV[at + 1]) end
  for at = first_erased, first_letter - 1, 2 do add_erased(ARGV[at], ARGV[at + 1]) end
  for at = first_letter, #ARGV, 5 do
    redis.call('XADD', dead, '*', 'row', ARGV[at], 'reason', ARGV[at + 1], 'text', ARGV[at + 2],
      'first_seen', ARGV[at + 3], 'block', ARGV[at + 4])
  end
end
redis.call('HSET', checkpoint, 'stored', ARGV[3])
return 'ok'
