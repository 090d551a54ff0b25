-- retry_entry: appends an entry that was set aside to the stream again, in the step that takes it out of `aside`.
--
-- Keeps:    rules 12 and 15 of docs/delivery.md: the entry is in exactly one of the two.
-- Sent by:  forebay/stream.py
-- KEYS:     1 log · 2 aside · 3 the key of this entry's fields
-- ARGV:     1 the entry's id
-- Answers:  1: it was appended · 0: it is not set aside, or has more fields than Lua can unpack
-- Told:     the same again is answered 0. It comes as a commit of `dead`, not of its producer: that number is long past.

local log, aside, kept = KEYS[1], KEYS[2], KEYS[3]
local fields = redis.call('LRANGE', kept, 0, -1)
if #fields > 4000 or redis.call('HDEL', aside, ARGV[1]) == 0 then return 0 end
redis.call('DEL', kept)
local again = {}
for at = 1, #fields, 2 do
  if fields[at] ~= 'p' and fields[at] ~= 'c' then
    again[#again + 1] = fields[at]
    again[#again + 1] = fields[at + 1]
  end
end
redis.call('XADD', log, '*', 'p', 'dead', 'c', 0, unpack(again))
return 1
