"""Finds where a client is: in a header of a trusted CDN, or in the best source of places that there is.

A header says the country alone. What a database knows beside it, region and city, counts if it means the same country. A
header that says nothing, or what is no country, leaves it to the database; `T1` is Cloudflare's word for Tor, and such a
client is nowhere.

Which sources there are, and how they are read anew, is in ingest/geography. A place is remembered for its address, here
and with a known head (ingest/http/heads.py), and both are forgotten when another edition of a source comes into force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache

from ingest.geography.newest import Newest
from ingest.geography.where import NOWHERE, Where, located
from runtime.client_ip import Client
from schemas.countries import country_code

CACHED = 16_384  # addresses; a look-up costs 2 to 160 us, a hit 0.1
TOR = b"T1"


class Geolocation:
    """Gives clients their places."""

    def __init__(self, newest: Newest, *, header: str = "") -> None:
        self._newest = newest
        self._header = header.strip().lower().encode()
        self.changed: list[Callable[[], None]] = []  # called when clients may be elsewhere than before
        self._renew()

    @property
    def header(self) -> bytes:
        """Returns the name of the header to read, in lower case; empty if no header is read."""
        return self._header

    @property
    def source(self) -> str:
        """Returns the name of the source in force."""
        return self._name

    def of(self, client: Client, fields: Mapping[bytes, bytes]) -> Where:
        if self._header and client.is_proxied and (said := fields.get(self._header)) is not None:
            word = said.strip()
            if word == TOR:
                return NOWHERE
            if code := country_code(word.decode("latin-1")):
                found = self._looked_up(client.address.text)
                return found if found.country == code else Where(code, "", "")
        return self._looked_up(client.address.text)

    async def refresh(self) -> None:
        """Looks whether there is something newer, and takes it."""
        if await asyncio.to_thread(self._newest.look):
            self._renew()
            for forget in self.changed:
                forget()

    def _renew(self) -> None:
        source = self._newest.source

        def look_up(text: str) -> Where:
            address = located(text)
            return source.of(address) if address else NOWHERE

        self._name = source.name
        self._looked_up = lru_cache(CACHED)(look_up)
