"""Knows all about sites that is not in ClickHouse: their records, notes and keys in Redis, and whether their events arrive."""
