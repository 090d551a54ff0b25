"""Makes server keys, and keeps their records where ingest reads them."""

from __future__ import annotations

import secrets

from ingest.collect.keys import ServerKeys
from schemas.keys import EVERY_SITE, Key, Scope, hash_of, written


class KeyStore:
    """Holds the records of keys."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.is_away = False

    async def keys(self) -> dict[str, bytes]:
        if self.is_away:
            raise ConnectionError
        return dict(self.records)

    def add(self, *sites: str, scope: Scope = "write") -> str:
        """Makes a key, for every site if none is named, and returns its text."""
        key_id, text = written(secrets.choice)
        self.records[key_id] = Key(hash=hash_of(text), sites=sites or (EVERY_SITE,), scope=scope).encode()
        return text

    async def read(self) -> ServerKeys:
        """Returns keys that have read these records."""
        found = ServerKeys(self)
        await found.refresh()
        return found
