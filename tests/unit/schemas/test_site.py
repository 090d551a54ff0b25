"""schemas/site.py: what a record has, and when a new time zone of a site begins to count."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime import zones
from schemas.days import Calendar, day_of, next_start
from schemas.site import (
    NOTICE_SECONDS,
    ZONE_KEPT_SECONDS,
    Exclusions,
    Funnel,
    Goal,
    RegisteredSite,
    SiteSettings,
    ZoneBefore,
)


def at(text: str) -> int:
    """Returns the unix second of a moment in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


NOW = at("2026-11-29 12:00")
PLAIN = RegisteredSite()
TOKYO = RegisteredSite(settings=SiteSettings(timezone="Asia/Tokyo"))


def changed(site: RegisteredSite, name: str, now: int = NOW, *, is_new: bool = False) -> RegisteredSite:
    return site.in_zone(name, zones.load(name), now, is_new=is_new)


def test_a_new_zone_counts_from_the_next_midnight_in_it() -> None:
    """The zone before it is kept up to then; None is that of the installation."""
    site = changed(PLAIN, "America/Los_Angeles")
    assert site.settings.timezone == "America/Los_Angeles"
    assert site.zones_before == (ZoneBefore(until=at("2026-11-30 08:00")),)
    site = changed(TOKYO, "Asia/Kathmandu")
    assert site.zones_before == (ZoneBefore(zone="Asia/Tokyo", until=at("2026-11-29 18:15")),)
    assert RegisteredSite.decode(site.encode()) == site


def test_the_same_zone_again_changes_nothing() -> None:
    """A script that says it every day must not cut days."""
    assert changed(TOKYO, "Asia/Tokyo") == TOKYO


def test_a_second_change_before_the_first_counts_takes_its_place() -> None:
    """The zone that was never in force leaves no trace."""
    site = changed(changed(TOKYO, "America/Los_Angeles"), "Europe/Berlin", NOW + 3_600)
    assert site.settings.timezone == "Europe/Berlin"
    assert site.zones_before == (ZoneBefore(zone="Asia/Tokyo", until=at("2026-11-29 23:00")),)


def test_a_change_can_be_taken_back_before_it_counts() -> None:
    """As if it had never been said."""
    assert changed(changed(TOKYO, "America/Los_Angeles"), "Asia/Tokyo", NOW + 3_600) == TOKYO


def test_a_second_change_right_after_the_first_counts_keeps_both() -> None:
    """Visits of the first zone's last day may still go on."""
    first = changed(TOKYO, "UTC")
    site = changed(first, "Asia/Tokyo", at("2026-11-30 00:10"))
    assert site.zones_before == (*first.zones_before, ZoneBefore(zone="UTC", until=at("2026-11-30 15:00")))
    later = changed(site, "UTC", at("2026-11-30 15:00") + ZONE_KEPT_SECONDS)
    assert later.zones_before == (ZoneBefore(zone="Asia/Tokyo", until=at("2026-12-01 00:00")),)


def test_a_site_that_is_registered_with_a_zone_had_that_of_unregistered_sites() -> None:
    """If it had events at all, which only ingest knows."""
    site = changed(PLAIN, "Asia/Tokyo", is_new=True)
    assert site.zones_before == (ZoneBefore(until=at("2026-11-29 15:00"), if_unregistered=True),)


def test_a_new_site_that_changes_again_had_either_zone() -> None:
    """The zone of unregistered sites if it had events, else its first one."""
    site = changed(changed(PLAIN, "Asia/Tokyo", is_new=True), "Europe/Berlin", NOW + 60)
    until = at("2026-11-29 23:00")
    assert site.zones_before == (
        ZoneBefore(until=until, if_unregistered=True),
        ZoneBefore(zone="Asia/Tokyo", until=until),
    )
    assert changed(site, "Asia/Tokyo", NOW + 120).zones_before == (
        ZoneBefore(until=at("2026-11-29 15:00"), if_unregistered=True),
    )


@pytest.mark.parametrize(("seconds", "day"), [(NOTICE_SECONDS + 1, 30), (NOTICE_SECONDS, 31), (1, 31)])
def test_a_midnight_that_not_every_worker_can_know_of_is_not_the_next(seconds: int, day: int) -> None:
    """Sites are read every two seconds; two workers must not hash one client under two zones."""
    site = changed(TOKYO, "UTC", at("2026-12-30 00:00") - seconds)
    assert site.zones_before == (ZoneBefore(zone="Asia/Tokyo", until=at(f"2026-12-{day} 00:00")),)


NAMES = ("UTC", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Auckland")
HOURS = st.lists(st.tuples(st.integers(0, 40 * 3_600), st.sampled_from(NAMES)), max_size=6)


@given(HOURS, st.integers(-6 * 3_600, 60 * 3_600))
def test_a_site_has_the_zone_of_its_last_change_whose_midnight_came(changes: list[tuple[int, str]], later: int) -> None:
    """Whatever was changed before, however often, and also for what happened a few hours before the last change."""
    site, now = TOKYO, NOW
    # The zones that counted, each from a moment on; one that was replaced before its moment never did.
    history: list[tuple[int, str]] = [(0, "Asia/Tokyo")]
    for seconds, name in changes:
        now += seconds
        site = changed(site, name, now)
        history = [one for one in history if one[0] <= now]
        if history[-1][1] != name:
            history.append((next_start(now + NOTICE_SECONDS, zones.load(name)), name))
    moment = now + max(later, 60 - ZONE_KEPT_SECONDS)
    expected = [name for since, name in history if since <= moment][-1]
    until = next((since for since, _ in history if since > moment), 1 << 40)
    start, end = day_of(moment, zones.load(expected))
    before = [(zones.load(one.zone or "UTC"), one.until) for one in site.zones_before]
    calendar = Calendar(zones.load(site.settings.timezone or "UTC"), before)
    assert calendar.day(moment) == (start, min(end, until))


def test_a_record_has_what_it_has_and_nothing_that_is_empty() -> None:
    """So a site without goals is written as the release before wrote it, and read again as it was."""
    assert PLAIN.encode() == b'{"domains":[],"keys":[],"settings":{}}'
    site = RegisteredSite(
        goals=(Goal(name="purchase", event="purchase"),),
        funnels=(Funnel(name="buy", steps=("Visit /cart", "purchase")),),
        exclusions=Exclusions(addresses=("203.0.113.0/24",)),
    )
    assert site.encode() == (
        b'{"domains":[],"keys":[],"settings":{},"goals":[{"name":"purchase","event":"purchase"}],'
        b'"funnels":[{"name":"buy","steps":["Visit /cart","purchase"]}],"exclusions":{"addresses":["203.0.113.0/24"]}}'
    )
    assert RegisteredSite.decode(site.encode()) == site
    assert replace(site, goals=(), funnels=(), exclusions=Exclusions()).encode() == PLAIN.encode()


def test_what_a_newer_release_adds_is_passed_over() -> None:
    """A kind of rule that this release does not know must not hide the site from its ingest."""
    text = '{"exclusions": {"networks_of": ["AS64500"], "countries": ["FR"]}, "goals": [{"name": "a", "event": "a", "value": 5}], "x": 1}'
    site = RegisteredSite.decode(text)
    assert site.exclusions == Exclusions(countries=("FR",))
    assert site.goals == (Goal(name="a", event="a"),)


def test_what_a_newer_release_added_survives_a_change_by_this_one() -> None:
    """Also inside of settings and exclusions; what this release knows is as it says, and what can't be read is written over."""
    text = b'{"domains":[],"keys":[],"settings":{"privacy":"drop","y":1},"exclusions":{"networks_of":["AS1"],"countries":["FR"]},"x":{"z":2}}'
    plain = replace(RegisteredSite.decode(text), settings=SiteSettings(keep_query=True), exclusions=Exclusions())
    assert msgspec.json.decode(plain.encode_over(text)) == {
        "domains": [],
        "keys": [],
        "settings": {"keep_query": True, "y": 1},
        "exclusions": {"networks_of": ["AS1"]},
        "x": {"z": 2},
    }
    for broken in (b"", b"[]", b"{broken", b"[" * 9_999, b'{"settings": 5}'):
        assert plain.encode_over(broken) == plain.encode()


def test_the_zone_in_force_is_that_of_the_calendar() -> None:
    """Whoever shows numbers and whoever counts days say the same zone for the same moment."""
    site = changed(changed(PLAIN, "Asia/Tokyo", is_new=True), "Europe/Berlin", NOW + 60)
    moments = range(NOW - 3_600, NOW + 2 * 86_400, 1_800)
    for is_taken in (False, True):
        zones_then = {site.zone_at(moment, is_taken_unregistered=is_taken) for moment in moments}
        assert zones_then == ({None, "Europe/Berlin"} if is_taken else {"Asia/Tokyo", "Europe/Berlin"})
    assert site.zone_at(at("2026-11-29 23:00") - 1, is_taken_unregistered=False) == "Asia/Tokyo"
    assert site.zone_at(at("2026-11-29 23:00"), is_taken_unregistered=False) == "Europe/Berlin"
