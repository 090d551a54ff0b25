"""runtime/zones.py: names of time zones, and what is said of others."""

from __future__ import annotations

import pytest

from runtime import zones


def test_every_name_is_a_zone_of_a_place_or_of_an_offset() -> None:
    """Each can be loaded, and what depends on the machine or counts leap seconds is left out."""
    assert {"UTC", "Asia/Kathmandu", "America/Argentina/Buenos_Aires", "Etc/GMT+12"} <= zones.names()
    assert not {"localtime", "Factory", "posixrules"} & zones.names()
    assert not [name for name in zones.names() if name.startswith(("posix/", "right/"))]
    assert {zones.load(name).key for name in zones.names()} == zones.names()


def test_a_zone_is_one_object() -> None:
    """So all sites of a zone share what is found by it."""
    assert zones.load("Europe/Berlin") is zones.load("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Los Angeles", ["America/Los_Angeles"]),
        ("los_angeles", ["America/Los_Angeles"]),
        ("America/Los_Angles", ["America/Los_Angeles"]),
        ("europe/berlin", ["Europe/Berlin"]),
        ("US/Los_Angeles", ["America/Los_Angeles"]),
        ("utc", ["UTC"]),
        ("zzzzzzzzzzzz", []),
        ("", []),
        ("../../etc/passwd", []),
    ],
)
def test_an_unknown_zone_is_refused_with_those_that_come_near(name: str, near: list[str]) -> None:
    """By its whole name or by its city, whatever the case."""
    assert zones.near_names(name)[: len(near) or None] == near
    with pytest.raises(zones.UnknownZone, match="is not a known time zone: ") as error:
        zones.load(name)
    assert all(one in str(error.value) for one in near)


def test_a_name_of_a_million_characters_is_answered_at_once() -> None:
    """It comes from a shell, or from Redis; what is said of it is short."""
    with pytest.raises(zones.UnknownZone) as error:
        zones.load("a" * 1_000_000)
    assert len(str(error.value)) < 200
