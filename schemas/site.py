"""A registered site, as `forebay site add` writes it into Redis and ingest reads it.

    forebay:sites   hash: name → {"domains": [...], "keys": [...], "settings": {...}, "zones_before": [...],
                                  "goals": [...], "funnels": [...], "exclusions": {...}, "hosts": [...]}
    forebay:notes   hash: name → {"segments": [...], "annotations": [...], "last_id": N}

Names and domains have the form that schemas/host.py gives them; how people write goals and funnels is in schemas/goals.py,
and how they write exclusions in schemas/exclusions.py. What is empty is left out, so a record without goals is what the
release before wrote. A newer release adds fields and changes none, because a reader passes over fields that it does not know:
an older ingest then does not apply a new kind of exclusion, and goes on with everything else.

Segments and annotations are in a hash of their own, because ingest reads all records again after each change of one, and does not need
these.

A new time zone counts from the first midnight in it that follows. Until then, and for the half hour after it in which a
visit may still be one of the day before, the zones before it are needed: `zones_before` keeps them, each with the moment
up to which it counts. The zone that counts behind the last of them is that of the settings.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from schemas.days import next_start
from schemas.host import NAME_CHARS_MAX

# What is done with events of browsers that send Sec-GPC or DNT.
Privacy = Literal["count", "anonymise", "drop"]


# So long a zone is kept after it ended. Its last day is needed half an hour longer, and clocks may be slow.
ZONE_KEPT_SECONDS = 6 * 3_600
# Every worker reads the sites every two seconds. A zone that began to count before all of them know it would give a
# visitor two numbers, so a midnight that is nearer than this is not the next one.
NOTICE_SECONDS = 10


class SiteSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Holds what a site wants. `privacy` and `timezone` None: as the settings of the installation say.

    With `revenue_needs_key`, an event with revenue is taken only with a server key. `limit` is how many events the site may
    send, and `client_limit` each of its clients (schemas/limits.py); None: as the settings of the installation say.
    """

    keep_query: bool = False
    hash_routing: bool = False
    privacy: Privacy | None = None
    timezone: str | None = None
    revenue_needs_key: bool = False
    limit: str | None = None
    client_limit: str | None = None


class ZoneBefore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Holds a zone that counts up to a unix second.

    None is the zone of the installation. `if_unregistered`: only where events of sites that are not registered are
    accepted, because the site was not registered then; elsewhere it had no event yet, and the next zone counts at once.
    """

    zone: str | None = None
    until: int
    if_unregistered: bool = False


class Goal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Holds what counts as a conversion: an event by its name, or a pageview of a page; one of the two is not empty.

    In `page`, which has the form of the column `path`, a `*` stands for any characters. Each of `props` must be a property
    of the event, with this value.
    """

    name: str
    event: str = ""
    page: str = ""
    props: dict[str, str] = {}


class Funnel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Holds steps that a visitor takes one after the other, each the name of a goal, or a goal as schemas/goals.py reads it.

    All of them have to be taken within so many hours of the first. A visitor is known for a local day, so a longer
    time would find nothing more.
    """

    name: str
    steps: tuple[str, ...]
    window_hours: int = 24


class Exclusions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Holds which events a site leaves out: by networks, paths, codes of countries, and host names of its pages."""

    addresses: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()


NOTHING_EXCLUDED = Exclusions()
ADDED_LATER = ("zones_before", "goals", "funnels", "exclusions", "hosts")  # fields of a record since 0.1.0
NESTED: dict[str, type[msgspec.Struct]] = {"settings": SiteSettings, "exclusions": Exclusions}  # structs in a record


class RegisteredSite(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is registered of a site beside its name.

    `keys` are those by which other families' SDKs name it (schemas/site_keys.py). `hosts`, if there are any, are patterns of the
    only hosts whose pages it measures, beside its own name and domains.
    """

    domains: tuple[Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)], ...] = ()
    keys: tuple[str, ...] = ()
    settings: SiteSettings = SiteSettings()
    zones_before: tuple[ZoneBefore, ...] = ()
    goals: tuple[Goal, ...] = ()
    funnels: tuple[Funnel, ...] = ()
    exclusions: Exclusions = NOTHING_EXCLUDED
    hosts: tuple[str, ...] = ()

    def zone_at(self, moment: int, *, is_taken_unregistered: bool) -> str | None:
        """Returns the name of the zone in force at a unix second; None is that of the installation.

        `is_taken_unregistered` says whether events of this site are accepted without its being registered.
        """
        for one in self.zones_before:
            if moment < one.until and (is_taken_unregistered or not one.if_unregistered):
                return one.zone
        return self.settings.timezone

    def in_zone(self, name: str, zone: tzinfo, now: int, *, is_new: bool) -> RegisteredSite:
        """Returns the site with another time zone, which counts from the next midnight in it on.

        A zone that was to count from a later moment than `now` (unix s) never does. `is_new` says that the site was not
        registered before.
        """
        pending = [one for one in self.zones_before if one.until > now]
        in_force = next((one.zone for one in pending if not one.if_unregistered), self.settings.timezone)
        until = next_start(now + NOTICE_SECONDS, zone)
        before = [one for one in self.zones_before if now - ZONE_KEPT_SECONDS < one.until <= now]
        if is_new or any(one.if_unregistered for one in pending):
            before.append(ZoneBefore(until=until, if_unregistered=True))
        if not is_new and in_force != name:
            before.append(ZoneBefore(zone=in_force, until=until))
        return replace(self, settings=replace(self.settings, timezone=name), zones_before=tuple(before))

    def encode(self) -> bytes:
        """Returns the value of the hash. Of a site with no more than a name and settings it is as release 0.1.0 wrote it."""
        said = msgspec.to_builtins(self)
        for name in ADDED_LATER:
            if not said[name]:
                del said[name]
        return msgspec.json.encode(said)

    def encode_over(self, before: str | bytes) -> bytes:
        """Returns the value of the hash, with those fields of the value before that this release does not know.

        A newer release wrote them, and somebody who goes back to this one for a day must not lose them. A value that can't be read
        is overwritten.
        """
        try:
            there = msgspec.json.decode(before)
        except (ValueError, RecursionError):
            return self.encode()
        said = msgspec.json.decode(self.encode()) | _unknown(there, RegisteredSite)
        for name, kind in NESTED.items():
            if isinstance(there, dict) and (unknown := _unknown(there.get(name), kind)):
                said[name] = said.get(name, {}) | unknown
        return msgspec.json.encode(said)

    @classmethod
    def decode(cls, value: str | bytes) -> RegisteredSite:
        """Returns the site in a value of the hash. Raises ValueError, or RecursionError for what is nested too deeply."""
        return msgspec.json.decode(value, type=cls)


def _unknown(there: object, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Returns the fields of a JSON object that a struct does not have."""
    found = there if isinstance(there, dict) else {}
    return {name: value for name, value in found.items() if name not in kind.__struct_fields__}


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Holds filters under a name, in the grammar of dashboard/catalogue/filters.py. No other segment ever has its id."""

    id: int
    name: str
    filters: list[Any]


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what happened on a local day, as YYYY-MM-DD. No other annotation ever has its id."""

    id: int
    date: str
    text: str


class SiteNotes(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what people noted down about the numbers of a site. `last_id` is the highest id that was ever given."""

    segments: tuple[Segment, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    last_id: int = 0

    def encode(self) -> bytes:
        """Returns the value of the hash."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: str | bytes) -> SiteNotes:
        """Returns the notes in a value of the hash. Raises ValueError, or RecursionError for what is nested too deeply."""
        return msgspec.json.decode(value, type=cls)
