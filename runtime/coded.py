"""Holds a text that is served as it is: compressed once, with a tag for each form.

Brotli comes from whoever built the text, gzip is made here. A form's tag depends on the text and the form.
"""

from __future__ import annotations

import gzip
import hashlib
from typing import NamedTuple


class Form(NamedTuple):
    """Holds a text in one content coding; "" means that it is not compressed."""

    coding: str
    body: bytes
    tag: str


class Coded:
    """Holds all forms of one text, the smallest first."""

    def __init__(self, text: bytes, brotli: bytes = b"") -> None:
        bodies = {"br": brotli, "gzip": gzip.compress(text, 9, mtime=0), "": text}
        tag = hashlib.blake2b(text, digest_size=9).hexdigest()
        self._forms = [
            Form(coding, body, f'"{tag}-{coding}"' if coding else f'"{tag}"') for coding, body in bodies.items() if body
        ]

    def form(self, accepted: str) -> Form:
        """Returns the smallest form that an Accept-Encoding header takes."""
        return next(form for form in self._forms if not form.coding or takes(accepted, form.coding))


def takes(accepted: str, coding: str) -> bool:
    """Returns whether an Accept-Encoding header allows a content coding, by name or by `*` (RFC 9110, 12.5.3)."""
    weights = {}
    for part in accepted.lower().split(","):
        name, _, weight = part.strip().partition(";")
        weights[name.strip()] = weight.strip().removeprefix("q=") not in {"0", "0.0", "0.00", "0.000"}
    return weights.get(coding, weights.get("*", False))
