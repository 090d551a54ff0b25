"""`python -m tests.released_tracker VERSION`: keeps the tracker of a release, because pages may name it by its hash for years.

It copies what is built in tracker/dist to tracker/dist/versions, and notes the release in tests/fixtures/released_trackers.txt.
That is done once, when the release gets its heading in CHANGELOG.md: until then a test fails. What is kept never changes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from schemas.tracker_names import version_of

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "tracker" / "dist"
# A line each: the release, and the hash of its script. Lines are added with a release, and never changed.
NOTED = ROOT / "tests" / "fixtures" / "released_trackers.txt"


def noted(notes: Path = NOTED) -> dict[str, str]:
    """Returns the hashes of released trackers by their releases, in order."""
    return dict(line.split() for line in notes.read_text().splitlines())


def keep(release: str, dist: Path = DIST, notes: Path = NOTED) -> Path:
    """Returns where the built script lies now for ever. Raises ValueError if another one is noted for this release."""
    script = (dist / "f.js").read_bytes()
    version = version_of(script)
    known = noted(notes)
    if known.setdefault(release, version) != version:
        raise ValueError(f"the tracker of {release} is {known[release]}, and what is built is {version}")
    place = dist / "versions" / f"f.{version}.js"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(script)
    place.with_name(f"{place.name}.br").write_bytes((dist / "f.js.br").read_bytes())
    notes.write_text("".join(f"{one} {its}\n" for one, its in known.items()))
    return place


if __name__ == "__main__":
    sys.stdout.write(f"{keep(sys.argv[1]).relative_to(ROOT)}\n")
