"""The public links of the dashboard: how one is written, and what is kept of one.

    https://HOST/shared/ID_SECRET    ID has 10 characters and SECRET 43, of the 62 letters and digits: 256 bits that nobody can guess
    forebay:links                    hash: ID → {"hash": "...", "site": "...", "name": "...", "shows": [...], ...}

Only the SHA-256 of a token is kept, and of its password a hash by argon2id. A link shows the numbers of one site, changes nothing, and
leaves out properties, user ids and revenue unless they are in `shows`. `since` and `until` are local dates of the site, and bound what it
shows; `days` bounds it to so many days up to today.

Not promised: that only one person uses a link. Whoever has it may use it until it is revoked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Literal, get_args

import msgspec

from schemas.host import NAME_CHARS_MAX
from schemas.keys import ALPHABET

ID_CHARS, SECRET_CHARS = 10, 43
NAME_MAX = 120  # characters of what people call a link
DAYS_MAX = 3_660
DAYS_FAULT = f"A link shows from 1 to {DAYS_MAX} days."
LINKS_MAX = 1_000  # of an installation

Shown = Literal["properties", "users", "revenue"]
SHOWN: tuple[Shown, ...] = get_args(Shown)
_token = re.compile(rf"([0-9A-Za-z]{{{ID_CHARS}}})_[0-9A-Za-z]{{{SECRET_CHARS}}}").fullmatch
is_link_id = re.compile(rf"[0-9A-Za-z]{{{ID_CHARS}}}").fullmatch


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is kept of a link. `password` is its hash, "" without one; `made` a unix second."""

    hash: str
    site: Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]
    name: str = ""
    password: str = ""
    shows: tuple[Shown, ...] = ()
    since: date | None = None
    until: date | None = None
    days: Annotated[int, msgspec.Meta(ge=0, le=DAYS_MAX)] = 0
    made: int = 0

    def is_of(self, token: str) -> bool:
        """Tells whether this is the record of a token. It takes the same time whatever the token is."""
        return hmac.compare_digest(self.hash.encode(), hash_of(token).encode())

    @property
    def hidden(self) -> frozenset[Shown]:
        """Returns what is left out of every answer."""
        return frozenset(SHOWN) - frozenset(self.shows)

    @property
    def within(self) -> str:
        """Returns between which days it shows numbers, in words."""
        if self.days:
            return f"last {self.days} days"
        if not self.since and not self.until:
            return "all days"
        return f"{self.since or 'the first day'} to {self.until or 'today'}"

    def encode(self) -> bytes:
        """Returns the value of the hash."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: str | bytes) -> Link:
        """Returns the record in a value of the hash. Raises ValueError, or RecursionError for what is nested too deeply."""
        return msgspec.json.decode(value, type=cls)


def written(choose: Callable[[Sequence[str]], str]) -> tuple[str, str]:
    """Returns the ID and the token of a new link. `choose` takes a character at random: `secrets.choice`."""
    link_id = "".join(choose(ALPHABET) for _ in range(ID_CHARS))
    secret = "".join(choose(ALPHABET) for _ in range(SECRET_CHARS))
    return link_id, f"{link_id}_{secret}"


def id_of(text: str) -> str | None:
    """Returns the ID in a token; None if the text can't be one."""
    found = _token(text)
    return found[1] if found else None


def hash_of(token: str) -> str:
    """Returns the SHA-256 of a token in hexadecimal digits, which is all that is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def fault_of(link: Link) -> str:
    """Returns why there can't be such a link, as a sentence; "" if there can."""
    if len(link.name) > NAME_MAX or (link.name and not link.name.isprintable()):
        return f"The name of a link has at most {NAME_MAX} characters, all of them printable."
    if not 0 <= link.days <= DAYS_MAX:
        return DAYS_FAULT
    if link.days and (link.since or link.until):
        return "A link shows either the last days or the days between two dates."
    if link.since and link.until and link.until < link.since:
        return "The last day of a link is before the first one."
    return ""
