"""schemas/channels.py says each channel once, and the migration has the texts that schemas/channel_views.py makes of it."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

import pytest

from forebay.commands.migrate import packaged
from forebay.sources.lists import FILES, shipped
from schemas.channel_views import views
from schemas.channels import (
    CHANNELS,
    CLICK_IDS,
    KINDS,
    MEDIA,
    STATES,
    TABLE,
    VERSION,
    channel_of,
)


@pytest.mark.parametrize("statement", views(), ids=["v_events", "v_pageviews", "named_sessions", "v_sessions"])
def test_the_views_are_made_by_the_rules(statement: str) -> None:
    """Makes a changed rule a new migration, which makes the views anew."""
    assert statement in "".join(migration.text for migration in packaged())


def test_a_kind_is_stored_by_its_number() -> None:
    """Holds the numbers in the table's column to those of the rules."""
    numbers = ", ".join(f"'{kind}' = {number}" for number, kind in enumerate(KINDS, 1))
    assert f"Array(Enum8('' = 0, {numbers}))" in "".join(migration.text for migration in packaged())


def test_every_channel_can_be_had_by_a_rule() -> None:
    """Finds each of them: by a kind, free or paid, or by a medium or a campaign."""
    by_kind = {CHANNELS[number] for number in TABLE}
    by_medium = set(MEDIA) | {"Organic Video", "Paid Other", "Mobile Push Notifications", "Cross-network"}
    assert by_kind | by_medium == set(CHANNELS)
    assert len(TABLE) == (len(KINDS) + 1) * STATES
    assert channel_of(None, 0) == CHANNELS.index("Referral")


def test_networks_of_click_ids_are_in_the_list() -> None:
    """Gives a click id without a source the name of its network."""
    assert {one.host for one in CLICK_IDS} <= shipped().keys()


def test_a_changed_list_has_a_later_version() -> None:
    """Asks for a later day in `VERSION`, and for this sum, with a change of schemas/sources: who has this version gets no other one."""
    folder = files("schemas").joinpath("sources")
    text = "".join(folder.joinpath(name).read_text("utf-8") for name in FILES)
    assert (VERSION, sha256(text.encode()).hexdigest()[:16]) == (20261129, "1857fb38069d9b32")


def test_every_assistant_has_the_page_it_was_seen_on() -> None:
    """Finds the page and the day in each row."""
    lines = files("schemas").joinpath("sources", "assistants.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert len(rows) >= 40
    for host, name, page, day in rows:
        assert "." in host
        assert name
        assert page.startswith("https://")
        assert len(day) == 10
