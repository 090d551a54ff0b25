"""Hashes passwords by argon2id, and compares them.

One hash takes 46 MiB of memory and 56 ms of a processor (OWASP's first choice: 46 MiB, one pass, one lane). So a stranger who can cause many at
once can take the machine: callers bound how many there are at a time.

A password is compared in the form NFKC of Unicode, because keyboards write the same letters in several ways.
"""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
# The hash of 32 random bytes that nobody knows. It is compared with where a user is unknown, so that an answer takes the same time.
NOBODY = "$argon2id$v=19$m=47104,t=1,p=1$a+ZZZEruzYDqYy56PPX+pQ$Cy6x/PwpHp43JjWFXbtxHVtGuiWRWVOZqvzkxTF0j1I"


def hashed(password: str) -> str:
    """Returns what is kept of a password: the hash with its salt and parameters."""
    return _hasher.hash(_normal(password))


def is_right(kept: str, password: str) -> bool:
    """Returns whether this is the password. A hash that can't be read is nobody's."""
    try:
        return _hasher.verify(kept, _normal(password))
    except (InvalidHashError, VerificationError):
        return False


def _normal(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
