"""Serves the tracker's files: compressed once, with a tag for each form.

Brotli comes from the build (tracker/build.mjs), gzip is made here. A form's tag depends on the script's text and the form.
"""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from typing import NamedTuple

DEBUG_PATH = "/f.debug.js"  # the path of POST /f and `.debug.js`: where the tracker looks for its second file


class Form(NamedTuple):
    """Holds a script in one content coding; "" means that it is not compressed."""

    coding: str
    body: bytes
    tag: str


class Script:
    """Holds all forms of one script, the smallest first."""

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


def tracker_scripts(tracker_path: str) -> dict[bytes, Script]:
    """Returns the tracker and its second file, by path."""
    built = files("tracker").joinpath("dist")
    core = Script(built.joinpath("f.js").read_bytes(), built.joinpath("f.js.br").read_bytes())
    return {
        DEBUG_PATH.encode(): Script(built.joinpath("f.debug.js").read_bytes()),
        tracker_path.encode(): core,
    }
