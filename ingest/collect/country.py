"""Finds the country of a client, in a header of a trusted CDN or in a database of MaxMind's format.

Both are optional; without them, and for an unknown address, the country is "".

Not promised: more than a country. Nothing finer is looked up or kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import maxminddb

from ingest.collect.client_ip import Client

CACHED = 16_384  # addresses; a look-up costs 5 to 10 us, a hit 0.1
CODE_CHARS = 2
NO_COUNTRY = frozenset(("XX", "T1"))  # Cloudflare's words for unknown and for Tor


class Countries:
    """Gives clients their ISO 3166-1 alpha-2 codes."""

    def __init__(self, *, header: str = "", database: str = "") -> None:
        """Opens the `database` at that path. Raises OSError or maxminddb.InvalidDatabaseError if it can't be opened."""
        self._header = header.strip().lower().encode()
        self._reader = maxminddb.open_database(database) if database else None
        self._looked_up = lru_cache(CACHED)(self._look_up)

    @property
    def header(self) -> bytes:
        """Returns the name of the header to read, in lower case; empty if no header is read."""
        return self._header

    def of(self, client: Client, fields: Mapping[bytes, bytes]) -> str:
        if self._header and client.is_proxied and (said := fields.get(self._header)) is not None:
            return _code(said.strip().decode("latin-1"))
        if self._reader is None or not client.address.text:
            return ""
        return self._looked_up(client.address.text)

    def _look_up(self, address: str) -> str:
        assert self._reader is not None
        try:
            found = self._reader.get(address)
        except ValueError:  # an IPv6 address in a database of IPv4 alone
            return ""
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return _code(code) if isinstance(code, str) else ""


def _code(said: str) -> str:
    code = said.upper()
    is_code = len(code) == CODE_CHARS and code.isascii() and code.isalpha() and code not in NO_COUNTRY
    return code if is_code else ""
