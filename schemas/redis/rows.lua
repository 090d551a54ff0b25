-- rows: counts the entries of a part of a stream and the rows they say they hold, where they are: an entry has up to a
-- megabyte.
--
-- Keeps:    no rule of docs/delivery.md: it only reads.
-- Sent by:  forebay/stream.py, forebay/embedded/redis.py, loadtest/watch/redis_weight.py
-- KEYS:     1 log
-- ARGV:     1 where it begins, as XRANGE takes it · 2 where it ends · 3 how many entries are counted at most
-- Answers:  {entries, rows, id of the last entry that was counted, or an empty text}
-- Told:     Redis does nothing else meanwhile: about 0.5 us an entry, and more for large ones, of which a thousand
--           of 0.7 MB took 2 s. Rows of a stranger's entry that are no number count as none.

local log, from, most = KEYS[1], ARGV[1], tonumber(ARGV[3])
local entries, rows, last = 0, 0, ''
while entries < most do
  local found = redis.call('XRANGE', log, from, ARGV[2], 'COUNT', math.min(500, most - entries))
  if #found == 0 then break end
  for _, entry in ipairs(found) do
    local fields = entry[2]
    for at = 1, #fields, 2 do
      if fields[at] == 'n' then rows = rows + (tonumber(fields[at + 1]) or 0) end
    end
  end
  entries, last = entries + #found, found[#found][1]
  from = '(' .. last
end
return {entries, rows, last}
