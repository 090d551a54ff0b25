"""The moves of a shard's checkpoint, as scripts: each asks for the lease and for what it moves from, inside Redis.

They answer `ok`, `lease` (I3) or `moved` (delivery.md, rule 2). flusher/redis/stream.py sends them.
"""

from __future__ import annotations

from schemas.ledger import OTHER, TOTALS_MAX

# At maxmemory Redis refuses a script whose first write may grow something, and allows all after one that may not.
# So one that can't (PERSIST) comes first: a flusher that stopped when Redis is full would never trim it.
# Nor behind the stream's last entry: what was read ahead of a failover may be lost, and new entries get those ids.
CUT = """
local function order(id)
  local ms, sequence = string.match(id, '(%d+)-(%d+)')
  return string.format('%020.0f-%020.0f', ms, sequence)
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', KEYS[2], 'stored') or '0-0'
if stored ~= ARGV[2] then return 'moved' end
local last = redis.call('LINDEX', KEYS[3], -1)
if last and string.match(last, '^%S+') ~= stored then return 'moved' end
if redis.call('EXISTS', KEYS[4]) == 1 then
  local facts = redis.call('XINFO', 'STREAM', KEYS[4])
  for at = 1, #facts, 2 do
    if facts[at] == 'last-generated-id' and order(facts[at + 1]) < order(ARGV[3]) then return 'moved' end
  end
end
redis.call('PERSIST', KEYS[2])
if not last and stored == '0-0' then redis.call('RPUSH', KEYS[3], '0-0 0 0') end
redis.call('RPUSH', KEYS[3], ARGV[3])
return 'ok'
"""
# Only onto a recorded edge, mostly the last: one that Redis lost with its tail may be where no entry has come yet.
STORED = """
local function is_recorded(first)
  for _, edge in ipairs(redis.call('LRANGE', KEYS[5], first, -1)) do
    if string.match(edge, '^%S+') == ARGV[3] then return true end
  end
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('HGET', KEYS[2], 'stored') or '0-0') ~= ARGV[2] then return 'moved' end
if not is_recorded(-2) and not is_recorded(0) then return 'moved' end
redis.call('PERSIST', KEYS[2])
if #ARGV > 5 and redis.call('HSETNX', KEYS[2], 'buried:' .. ARGV[3], 1) == 1 then
  local erased = 6 + 2 * ARGV[4]
  local letters = erased + 2 * ARGV[5]
  local function count(totals, first, final)
    local is_full = redis.call('HLEN', totals) >= TOTALS_MAX
    for at = first, final, 2 do
      local name = ARGV[at]
      if is_full and redis.call('HEXISTS', totals, name) == 0 then name = string.match(name, '^%d+') .. ' OTHER' end
      redis.call('HINCRBY', totals, name, ARGV[at + 1])
    end
  end
  count(KEYS[4], 6, erased - 1)
  count(KEYS[6], erased, letters - 1)
  for at = letters, #ARGV, 5 do
    redis.call('XADD', KEYS[3], '*', 'row', ARGV[at], 'reason', ARGV[at + 1], 'text', ARGV[at + 2],
      'first_seen', ARGV[at + 3], 'block', ARGV[at + 4])
  end
end
redis.call('HSET', KEYS[2], 'stored', ARGV[3])
return 'ok'
""".replace("TOTALS_MAX", str(TOTALS_MAX)).replace("OTHER", OTHER)
# An entry that can't be stored goes before it is cut: its fields into a list, what is known of it into a hash. In pieces,
# for a stranger's entry may have more fields than Lua can unpack.
SET_ASIDE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', KEYS[2], 'stored') or '0-0'
if stored ~= ARGV[2] then return 'moved' end
local last = redis.call('LINDEX', KEYS[3], -1)
if last and string.match(last, '^%S+') ~= stored then return 'moved' end
redis.call('PERSIST', KEYS[2])
local entry = redis.call('XRANGE', KEYS[4], ARGV[3], ARGV[3])[1]
if entry then
  redis.call('DEL', KEYS[6])
  for at = 1, #entry[2], 1000 do
    redis.call('RPUSH', KEYS[6], unpack(entry[2], at, math.min(at + 999, #entry[2])))
  end
  redis.call('HSET', KEYS[5], ARGV[3], ARGV[4])
  redis.call('XDEL', KEYS[4], ARGV[3])
end
return 'ok'
"""
# A person's word on a block that can't be delivered, of which ClickHouse holds nothing: what is left of it is cut anew.
WITHDRAW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('HGET', KEYS[2], 'stored') or '0-0') ~= ARGV[2] then return 'moved' end
if string.match(redis.call('LINDEX', KEYS[3], -1) or '', '^%S+') ~= ARGV[3] then return 'moved' end
redis.call('HDEL', KEYS[2], 'verdict:' .. ARGV[3], 'duplicate:' .. ARGV[3], 'buried:' .. ARGV[3], 'erased:' .. ARGV[3])
redis.call('RPOP', KEYS[3])
return 'ok'
"""
# What is left out of a block, its copies, its dead or what was erased, is found once, and its dead are buried and the
# others counted once, also when the block is replayed: whoever finds something else reads the checkpoint again. All of it is kept for
# as long as the block's edge is.
JUDGE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('HGET', KEYS[2], 'stored') or '0-0') ~= ARGV[2] then return 'moved' end
redis.call('PERSIST', KEYS[2])
if redis.call('HSETNX', KEYS[2], ARGV[3], ARGV[4]) == 1 or redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[4] then
  return 'ok'
end
return 'moved'
"""
# ClickHouse is ahead of a Redis that lost its tail: the checkpoint follows, and the stream goes on behind it (rule 8).
# The clock may be behind the edge: then an XADD would give ids that nobody reads any more. So the stream is told of the
# edge by an entry that goes again (XSETID wants a stream that is there), and what came after the last entry that
# ClickHouse holds (ARGV[4]) is appended anew, all of it: else what is behind the edge already would be overtaken.
FOLLOW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('HGET', KEYS[2], 'stored') or '0-0') ~= ARGV[2] then return 'moved' end
redis.call('PERSIST', KEYS[2])
for _, edge in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local gone = string.match(edge, '^%S+')
  redis.call('HDEL', KEYS[2], 'verdict:' .. gone, 'duplicate:' .. gone, 'buried:' .. gone, 'erased:' .. gone)
end
redis.call('DEL', KEYS[3])
redis.call('RPUSH', KEYS[3], ARGV[3] .. ' 0 0')
redis.call('HSET', KEYS[2], 'stored', ARGV[3])
if type(redis.pcall('XADD', KEYS[4], ARGV[3], 'edge', '')) == 'string' then redis.call('XDEL', KEYS[4], ARGV[3]) end
local after = ARGV[4]
local last = redis.call('XREVRANGE', KEYS[4], '+', '(' .. after, 'COUNT', 1)
if #redis.call('XRANGE', KEYS[4], '(' .. after, ARGV[3], 'COUNT', 1) == 1 then
  repeat
    local entries = redis.call('XRANGE', KEYS[4], '(' .. after, last[1][1], 'COUNT', 100)
    for _, entry in ipairs(entries) do
      redis.call('XADD', KEYS[4], '*', unpack(entry[2]))
      redis.call('XDEL', KEYS[4], entry[1])
      after = entry[1]
    end
  until #entries == 0
end
return 'ok'
"""
# The tail was compared with the ClickHouse that was started at ARGV[4]. ARGV[3] is `stored`, or the recorded edge before
# the first block that is to come again; what was counted of those is not counted once more.
COMPARED = """
local function order(id)
  local ms, sequence = string.match(id, '(%d+)-(%d+)')
  return string.format('%020.0f-%020.0f', ms, sequence)
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', KEYS[2], 'stored') or '0-0'
if stored ~= ARGV[2] then return 'moved' end
local is_recorded = ARGV[3] == stored
for _, edge in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local id = string.match(edge, '^%S+')
  if id == ARGV[3] then is_recorded = true end
  if id == stored then break end
end
if not is_recorded then return 'moved' end
redis.call('PERSIST', KEYS[2])
if ARGV[3] ~= stored then
  if order(stored) > order(redis.call('HGET', KEYS[2], 'counted') or '0-0') then
    redis.call('HSET', KEYS[2], 'counted', stored)
  end
  redis.call('HSET', KEYS[2], 'stored', ARGV[3])
end
redis.call('HSET', KEYS[2], 'compared', ARGV[4])
return 'ok'
"""
TRIM = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', KEYS[2], 'stored') or '0-0'
local floor
local behind = {}
for at, edge in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local id = string.match(edge, '^%S+')
  if id == ARGV[2] then floor = at - 1 end
  if not floor then behind[at] = id end
  if floor and id == stored then
    redis.call('LTRIM', KEYS[3], floor, -1)
    for _, gone in ipairs(behind) do
      redis.call('HDEL', KEYS[2], 'verdict:' .. gone, 'duplicate:' .. gone, 'buried:' .. gone, 'erased:' .. gone)
    end
    redis.call('XTRIM', KEYS[4], 'MINID', ARGV[3])
    return 'ok'
  end
end
return 'moved'
"""
# The order in which blocks are searched for client ids that came before (delivery.md, rule 9): each shard's current
# block, with its turn. No lease is asked for: it may live elsewhere in a cluster, only blocks that are recorded are
# claimed, their names say what they hold, and an old one never replaces a later one. Fixed widths: names sort as blocks.
CLAIM = """
local incarnation = string.match(ARGV[2], '^[^:]+:')
local turn, block = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) (.+)$')
if block ~= ARGV[2] then
  if block and string.sub(block, 1, #incarnation) == incarnation and block > ARGV[2] then return {} end
  redis.call('PERSIST', KEYS[1])
  turn = redis.call('HINCRBY', KEYS[1], 'turn', 1)
  redis.call('HSET', KEYS[1], ARGV[1], turn .. ' ' .. ARGV[2])
end
return {tonumber(turn), redis.call('HGETALL', KEYS[1])}
"""
