-- reign: names the server that runs a script, and the history that it goes on with.
-- The run id is another one after each start of the process. The replication id is another one after each promotion, so a
-- server that was demoted and promoted again, without a start between, is told apart too (rule 17 of docs/delivery.md).
local function reign()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  return run .. ':' .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or '')
end
