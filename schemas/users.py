"""The users of the dashboard: how one is called, what is kept of one, and which role one has on which site.

    forebay:users    hash: name → {"id": "...", "stamp": "...", "password": "$argon2id$...", "grants": {"example.com": "viewer"}, ...}

A viewer reads the numbers of a site. An admin changes what its record says too: goals, funnels, segments, notes, public links. The grant of
EVERY_SITE holds for all sites, and its admin may do what concerns all of them.

`id` is another one for whoever is called the same later, and `stamp` another one after each change of the password. Sessions name both,
so neither outlives its user or its password.

Not promised: that a name says who somebody is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from schemas.host import NAME_CHARS_MAX
from schemas.keys import ALPHABET, EVERY_SITE

ID_CHARS = 12
NAME_FORM = "1 to 64 of a-z, 0-9 and . _ @ + -, and begins and ends with a letter or digit"
PASSWORD_CHARS_MIN, PASSWORD_CHARS_MAX = 12, 256
DIFFERENT_CHARS_MIN = 5  # in a password: nobody's is one character twelve times
GRANTS_MAX = 1_000

Role = Literal["viewer", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "admin")
_name = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?").fullmatch


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is kept of a user. `password` is its hash, `email` where alerts go ("": where all do), `made` a unix second."""

    id: str
    stamp: str
    password: str
    grants: dict[Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)], Role] = {}
    email: str = ""
    made: int = 0

    def encode(self) -> bytes:
        """Returns the value of the hash."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: str | bytes) -> User:
        """Returns the user in a value of the hash. Raises ValueError, or RecursionError for what is nested too deeply."""
        return msgspec.json.decode(value, type=cls)


def role_on(grants: Mapping[str, Role], site: str) -> Role | None:
    """Returns the role that grants give on a site, by its name as `site_name` gives it: the higher one, if two hold."""
    held = {grants.get(site), grants.get(EVERY_SITE)}
    return "admin" if "admin" in held else "viewer" if "viewer" in held else None


def user_name(said: str) -> str:
    """Returns a user's name as names are compared: without blanks around it, in lower case."""
    return said.strip().lower()


def is_user_name(name: str) -> bool:
    """Tells whether somebody may be called so (NAME_FORM); as `user_name` gives it."""
    return _name(name) is not None


def password_fault(name: str, password: str) -> str:
    """Returns why somebody can't have a password, as a sentence; "" if they can."""
    if len(password) < PASSWORD_CHARS_MIN:
        return f"A password has at least {PASSWORD_CHARS_MIN} characters: several words do well."
    if len(password) > PASSWORD_CHARS_MAX:
        return f"A password has at most {PASSWORD_CHARS_MAX} characters."
    if len(set(password)) < DIFFERENT_CHARS_MIN:
        return f"A password has at least {DIFFERENT_CHARS_MIN} different characters."
    if password.lower() in {name, name * 2, name * 3, *(part * 2 for part in name.split("@"))}:
        return "A password is not the name of the user."
    return ""


def new_id(choose: Callable[[Sequence[str]], str]) -> str:
    """Returns an id or a stamp. `choose` takes a character at random: `secrets.choice`."""
    return "".join(choose(ALPHABET) for _ in range(ID_CHARS))
