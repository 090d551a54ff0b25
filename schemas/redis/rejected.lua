-- rejected: adds to what was rejected in ten minutes, by reason and site, with the moment of the last.
--
-- Keeps:    no rule of docs/delivery.md: these numbers are for people who ask why nothing arrives (schemas/rejected.py).
-- Sent by:  ingest/commit/common.py
-- KEYS:     1 rejected
-- ARGV:     1 seconds for which the hash is kept · from 2 on pairs of a field ("reason site") and how many events
-- Answers:  nothing
-- Told:     the same again is counted again. Beyond 2 * REJECTED_NAMES_MAX fields, new sites are counted together, as
--           REJECTED_OTHER of their reason; each name has two fields.

local rejected = KEYS[1]
local now = redis.call('TIME')[1]
for at = 2, #ARGV, 2 do
  local field = ARGV[at]
  if redis.call('HLEN', rejected) >= 2 * REJECTED_NAMES_MAX and redis.call('HEXISTS', rejected, field) == 0 then
    field = string.match(field, '^%S+') .. ' ' .. REJECTED_OTHER
  end
  redis.call('HINCRBY', rejected, field, ARGV[at + 1])
  redis.call('HSET', rejected, 'last ' .. field, now)
end
redis.call('EXPIRE', rejected, ARGV[1])
