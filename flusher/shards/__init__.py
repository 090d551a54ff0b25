"""Serves one leased shard, from its recovery to the release of its lease."""
