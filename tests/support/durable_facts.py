"""What a Redis says of itself that keeps every answered write."""

GOOD = {
    "redis_version": "7.0.15",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "aof_rewrite_in_progress": "0",
    "run_id": "run-1",
}

ALWAYS = {"appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
