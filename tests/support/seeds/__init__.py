"""Holds a few good requests of each dialect, a module for each family, from which tests make bad ones.

A module has `SEEDS`. Every dialect that takes events has at least one (tests/unit/ingest/dialects/test_mutations.py).
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

Fields = tuple[tuple[bytes, bytes], ...]
JSON: Fields = ((b"content-type", b"application/json"),)
TEXT: Fields = ((b"content-type", b"text/plain"),)
FORM: Fields = ((b"content-type", b"application/x-www-form-urlencoded"),)


class Seed(NamedTuple):
    """Holds a good request: its body as JSON says it (None: its client sends none), or in `raw` as bytes of another form.

    `rows` is how many rows it becomes, and `keys` the keys of sites that it names. `refusals` are the statuses of a request of
    which nothing was taken, as the client expects them.
    """

    dialect: str
    method: str
    target: str
    headers: Fields = JSON
    body: Any = None
    raw: bytes = b""
    rows: int = 1
    status: int = 200
    keys: tuple[str, ...] = ()
    refusals: tuple[int, ...] = (400, 401, 403, 413, 415)


def seeds() -> list[Seed]:
    """Returns the seeds of all families."""
    names = sorted(module.name for module in iter_modules(__path__))
    return [seed for name in names for seed in import_module(f"{__name__}.{name}").SEEDS]
