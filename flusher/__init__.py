"""Takes events out of Redis in blocks and stores each block in ClickHouse exactly once."""
