"""Knows the server keys: which texts are keys that may send events, and of which sites.

A key is made by `forebay key add --scope write`, and Redis has its hash (schemas/keys.py). `of` never waits: it reads a snapshot,
which `refresh` replaces each second, so a key counts, and one that was revoked is refused, within two seconds, on any
connection. It takes the same time whether a key exists or not.

Not promised: that a revoked key is refused while Redis does not answer. The last snapshot stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from schemas.keys import NOBODY, Key, id_of

logger = logging.getLogger(__name__)


class KeySource(Protocol):
    """Reads the records of all keys."""

    async def keys(self) -> dict[str, bytes]:
        """Returns the JSON of every key by its ID. Raises if the source can't be read."""
        ...


class ServerKeys:
    """Finds the record of a server key in a snapshot of all of them."""

    def __init__(self, source: KeySource | None = None, *, failed: Callable[[], None] | None = None) -> None:
        """Calls `failed` once for each record that can't be read."""
        self._source = source
        self._failed = failed
        self._found: Mapping[str, bytes] = {}
        self._known: Mapping[str, Key] = {}

    def of(self, text: str) -> Key | None:
        """Returns the record of a key that may send events; None if the text is not one."""
        key = self._known.get(id_of(text) or "", NOBODY)
        is_valid = key.is_of(text)  # computed for unknown keys too, so that the time taken tells nothing
        return key if is_valid and key.scope == "write" else None

    async def refresh(self) -> None:
        """Takes over what the source says now. Raises what the source raises; then everything stays as it was."""
        if self._source is None:
            return
        found = await self._source.keys()
        if found == self._found:
            return
        known: dict[str, Key] = {}
        for key_id, value in found.items():
            try:
                known[key_id] = Key.decode(value)
            except (ValueError, RecursionError):
                self._warn(key_id, value)
        self._found, self._known = found, known

    def _warn(self, key_id: str, value: bytes) -> None:
        """Warns of a record that can't be read, and counts it, once for each value that it has."""
        if self._found.get(key_id) != value:
            logger.warning("the record of key %s can't be read: `forebay key revoke %s` removes it", key_id, key_id)
            if self._failed is not None:
                self._failed()
