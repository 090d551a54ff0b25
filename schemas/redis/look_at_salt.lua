-- look_at_salt: says which salt a key has without telling it, and how long the key stays.
--
-- Keeps:    I8: a process that knows the salt can recognise it, and receives it no second time.
-- Sent by:  ingest/commit/salts.py
-- KEYS:     1 the salt
-- ARGV:     none
-- Answers:  the SHA-1 of the salt in hexadecimal digits, or '' if there is none · PTTL · the two numbers of TIME
-- Told:     the same again is answered the same, until the salt changes.

local salt = redis.call('GET', KEYS[1])
local now = redis.call('TIME')
return {salt and redis.sha1hex(salt) or '', redis.call('PTTL', KEYS[1]), tonumber(now[1]), tonumber(now[2])}
