"""schemas/redis/keys.py: no two things in Redis have one name."""

from schemas.redis import keys as names
from schemas.redis.keys import Keys


def test_the_keys_of_a_shard_share_its_hash_tag() -> None:
    """Redis Cluster keeps them in one slot, and no two shards or names share a key."""
    shards = [Keys(shard) for shard in range(3)]
    names = [getattr(one, name) for one in shards for name in Keys.__slots__ if name != "shard"]
    assert len(set(names)) == len(names)
    assert all(f"{{{one.shard}}}" in getattr(one, name) for one in shards for name in ("log", "lease", "accepted"))


def test_the_keys_of_the_installation_differ() -> None:
    """Nor does one of them begin as a shard's do."""
    found = [value for name, value in vars(names).items() if name.endswith("_KEY")]
    assert len(set(found)) == len(found) >= 6
    assert not [key for key in found if key.startswith(Keys(0).log.removesuffix("log"))]
