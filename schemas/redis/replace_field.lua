-- replace_field: gives a field of a hash another value, if it still has the value that was read.
--
-- Keeps:    no rule of docs/delivery.md: of two people who change a site at once, neither loses what the other said.
-- Sent by:  forebay/commands/site.py, forebay/commands/user.py, forebay/commands/report.py,
--           dashboard/sites/changes.py, dashboard/access/users.py, dashboard/access/sessions.py
-- KEYS:     1 the hash
-- ARGV:     1 the field · 2 the value that was read, empty if there was none · 3 the new value · from 4 on texts that no other
--           field's value may contain, so that a key belongs to one site
-- Answers:  ok · moved: the field has another value, which has to be read first · taken: another field has one of the texts
-- Told:     the same again is answered `ok` and changes nothing.

local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now == ARGV[3] then return 'ok' end
if now ~= ARGV[2] then return 'moved' end
if #ARGV > 3 then
  local all = redis.call('HGETALL', KEYS[1])
  for at = 4, #ARGV do
    for field = 1, #all, 2 do
      if all[field] ~= ARGV[1] and string.find(all[field + 1], ARGV[at], 1, true) then return 'taken' end
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 'ok'
