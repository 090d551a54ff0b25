-- fence: answers `lease` when the sender no longer holds the shard's lease, and `moved` when `stored` is not where the
-- sender believes it to be (rule 2 of docs/delivery.md). Otherwise it leaves `stored` for the script.
-- KEYS: 1 lease, 2 checkpoint. ARGV: 1 the lease's value, 2 where the sender believes `stored` to be.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', KEYS[2], 'stored') or '0-0'
if stored ~= ARGV[2] then return 'moved' end
