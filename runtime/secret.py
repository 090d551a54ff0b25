"""Makes secrets that can be removed from memory: CPython frees a `bytes`, and freed memory keeps it until the place is needed.

Not promised: anything about memory that the kernel wrote to a swap, or that a library copied.
"""

from __future__ import annotations

from pathlib import Path


def made(size: int) -> bytearray:
    """Returns so many random bytes."""
    secret = bytearray(size)
    with Path("/dev/urandom").open("rb", buffering=0) as source:  # `secrets` would leave a copy
        assert source.readinto(secret) == size
    return secret


def wipe(secret: bytearray) -> None:
    """Sets every byte of a secret to zero."""
    memoryview(secret)[:] = bytes(len(secret))
