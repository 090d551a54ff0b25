"""Names the paths of an install's tracker: all of them follow from the setting `tracker_path`.

The script is at `tracker_path` (`/f.js`). What is before its `.js` takes events (`/f`, as for every client that speaks our own
format), and begins the names of the files that the script loads (`/f.vitals.js`) and of its versions (`/f.1f2e3d4c5b6a.js`).

A blocker's list knows words such as "track", "stats" and "pixel". So a path that is made here has none of their letters.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import NamedTuple

TRACKER_PATH = "/f.js"
EVENTS_PATH = "/f"
FITTING = re.compile(r"/[A-Za-z0-9_/-]*[A-Za-z0-9_-]\.js")
LETTERS = "bdfghjkmqvwxz23456789"  # no vowels, and no c, l, n, p, r, s, t: no "ad", "stat", "trk", "px" or "evt"
VERSION_DIGITS = 12  # of the SHA-256 of the script


class TrackerNames(NamedTuple):
    """Holds the path of the script, and gives the others."""

    script: str = TRACKER_PATH

    @classmethod
    def of(cls, tracker_path: str) -> TrackerNames:
        """Raises ValueError for a path of which the others can't be made."""
        if not FITTING.fullmatch(tracker_path) or "//" in tracker_path:
            raise ValueError(
                f"{tracker_path!r} is no path like /f.js: letters, digits, `-`, `_` and `/`, and `.js` at its end"
            )
        return cls(tracker_path)

    @property
    def events(self) -> str:
        """Returns the path that takes events."""
        return self.script.removesuffix(".js")

    @property
    def pixel(self) -> str:
        """Returns the path of the picture, for pages without scripts."""
        return f"{self.events}.gif"

    def file(self, ending: str) -> str:
        """Returns the path of a file that the script loads: `.vitals.js`."""
        return self.events + ending

    def versioned(self, version: str) -> str:
        """Returns the path of one version of the script, which never changes."""
        return f"{self.events}.{version}.js"


def made_path() -> str:
    """Returns a path that no other install has, and that no blocker's list knows."""
    folder, name = ("".join(secrets.choice(LETTERS) for _ in range(length)) for length in (6, 8))
    return f"/{folder}/{name}.js"


def version_of(script: bytes) -> str:
    """Returns the name of a script's version, which follows from its bytes."""
    return hashlib.sha256(script).hexdigest()[:VERSION_DIGITS]


def integrity_of(script: bytes) -> str:
    """Returns a script's hash as the attribute `integrity` of its tag has it (SRI)."""
    return "sha384-" + base64.b64encode(hashlib.sha384(script).digest()).decode()
