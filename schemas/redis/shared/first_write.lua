-- first_write: lets a script run in a Redis that is at maxmemory.
-- Redis refuses a script there if its first write may take room, and allows every later write of a script whose first
-- write takes none. PERSIST takes none, so it comes first: a flusher that could not move its checkpoint would never
-- trim anything, and the Redis would stay full.
local function write_first_without_room(key)
  redis.call('PERSIST', key)
end
