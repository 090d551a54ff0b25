"""What an install of names of its own is called is in no blocker's list."""

from __future__ import annotations

import pytest

from schemas.tracker_names import TrackerNames, made_path
from tests.support.blockers import SHAPES, fitting

PATHS = 200
SITE = "https://shop.example"


@pytest.mark.parametrize(
    "address",
    [
        "https://www.google-analytics.com/g/collect?v=2&tid=G-1",
        "https://plausible.io/js/script.js",
        "https://stats.shop.example/matomo.php?idsite=1",
        "https://shop.example/umami.js",
        "https://shop.example/api/event",
        "https://shop.example/f.js",
        "https://shop.example/f",
        "https://shop.example/f.vitals.js",
    ],
)
def test_the_rules_find_trackers(address: str) -> None:
    """Those that people know, and an install with the usual names."""
    assert fitting(address)


def test_no_rule_finds_an_install_of_its_own() -> None:
    """Whatever path is made: the script, its version, its files, its events and its picture."""
    assert len(SHAPES) >= 10
    for names in (TrackerNames.of(made_path()) for _ in range(PATHS)):
        endings = (".vitals.js", ".queue.js", ".debug.js")
        paths = [names.script, names.versioned("0a1b2c3d4e5f"), *map(names.file, endings), names.events, names.pixel]
        for path in (*paths, f"{names.events}?gpc=1"):
            assert not fitting(SITE + path), (path, fitting(SITE + path))
