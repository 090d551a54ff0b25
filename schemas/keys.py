"""The keys of API clients: how a key is written, and what is kept of it.

    fbk_ID_SECRET   ID has 10 characters and SECRET 43, of the 62 letters and digits: 256 bits that nobody can guess
    forebay:keys    hash: ID → {"hash": "...", "sites": [...], "scope": "...", "name": "...", "rate": N, "made": N}

Only the SHA-256 of a whole key is kept. It needs no slow hash, because nobody has a list of likely keys. The ID says which
record to compare with, so somebody who does not have the key can list and revoke it.

Not promised: that only one person uses a key. Whoever has it may use it until it is revoked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

from schemas.host import NAME_CHARS_MAX

PREFIX = "fbk_"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_CHARS, SECRET_CHARS = 10, 43
RATE = 600  # requests an hour, unless the key was given another number
RATE_MAX = 1_000_000
NAME_MAX = 120  # characters of what people call a key
EVERY_SITE = "*"

Scope = Literal["read", "write"]
_written = re.compile(rf"fbk_([0-9A-Za-z]{{{ID_CHARS}}})_[0-9A-Za-z]{{{SECRET_CHARS}}}").fullmatch


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is kept of a key. `rate` is how many requests it may make in an hour, `made` the unix second of its making.

    `sites` are names of sites, or EVERY_SITE. `scope` says whether it reads numbers or sends events.
    """

    hash: str
    sites: tuple[Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)], ...]
    scope: Scope
    name: str = ""
    rate: Annotated[int, msgspec.Meta(ge=1, le=RATE_MAX)] = RATE
    made: int = 0

    def is_of(self, text: str) -> bool:
        """Tells whether this is the record of a key. It takes the same time whatever the key is."""
        return hmac.compare_digest(self.hash.encode(), hash_of(text).encode())

    def allows(self, site: str, scope: Scope) -> bool:
        """Tells whether the key may be used for this scope of a site."""
        return self.scope == scope and (site in self.sites or EVERY_SITE in self.sites)

    def encode(self) -> bytes:
        """Returns the value of the hash."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: str | bytes) -> Key:
        """Returns the record in a value of the hash. Raises ValueError, or RecursionError for what is nested too deeply."""
        return msgspec.json.decode(value, type=cls)


# Compared with where a key's ID is unknown, so that the time of an answer does not tell which IDs there are.
NOBODY = Key(hash="0" * 64, sites=(), scope="read")


def written(choose: Callable[[Sequence[str]], str]) -> tuple[str, str]:
    """Returns the ID and the text of a new key. `choose` takes a character at random: `secrets.choice`."""
    key_id = "".join(choose(ALPHABET) for _ in range(ID_CHARS))
    secret = "".join(choose(ALPHABET) for _ in range(SECRET_CHARS))
    return key_id, f"{PREFIX}{key_id}_{secret}"


def id_of(text: str) -> str | None:
    """Returns the ID in a key's text; None if the text can't be a key."""
    found = _written(text)
    return found[1] if found else None


def hash_of(text: str) -> str:
    """Returns the SHA-256 of a key's text in hexadecimal digits, which is all that is kept of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
