-- renew_lease: extends a lease for its holder.
--
-- Keeps:    rule 2 of docs/delivery.md: only the holder of this generation can extend it.
-- Sent by:  flusher/redis/lease.py, dashboard/reports/lease.py
-- KEYS:     1 lease
-- ARGV:     1 the lease's value · 2 milliseconds until it ends
-- Answers:  1: it was extended · 0: it is not the sender's any more
-- Told:     the same again extends it again.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
