"""One leased shard, from its recovery to its release."""
