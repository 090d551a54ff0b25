"""Blocks out of Redis, into ClickHouse, exactly once."""
