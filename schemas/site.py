"""A registered site, as `forebay site add` writes it into Redis and ingest reads it.

    forebay:sites   hash: name → {"domains": [...], "keys": [...], "settings": {...}}

Names and domains have the form that schemas/host.py gives them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.host import NAME_CHARS_MAX

# What is done with events of browsers that send Sec-GPC or DNT.
Privacy = Literal["count", "anonymise", "drop"]


class SiteSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Holds what a site wants. `privacy` None: as the setting of the installation says."""

    keep_query: bool = False
    hash_routing: bool = False
    privacy: Privacy | None = None


class RegisteredSite(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is registered of a site beside its name. `keys` are not used yet."""

    domains: tuple[Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)], ...] = ()
    keys: tuple[str, ...] = ()
    settings: SiteSettings = SiteSettings()

    def encode(self) -> bytes:
        """Returns the value of the hash."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: str | bytes) -> RegisteredSite:
        """Returns the site in a value of the hash. Raises ValueError, or RecursionError for what is nested too deeply."""
        return msgspec.json.decode(value, type=cls)
