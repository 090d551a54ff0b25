"""Changes the goals, funnels, segments and annotations of a site.

A record is read, changed, and written back only if nobody has changed it meanwhile (`replace_field`); otherwise all of this is repeated.
So no change is lost if two people change a site at once, on the page or with `forebay site set`. After a change everything is read
again, so the page sees it at once.

Not promised: that other processes see a change at once. They may need two seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import msgspec
from msgspec.structs import replace

from dashboard.catalogue.contract import Away, Refused
from dashboard.catalogue.dimensions import dimension_of
from dashboard.catalogue.filter_json import from_json
from dashboard.catalogue.filters import compares
from dashboard.catalogue.periods import FIRST, LAST
from dashboard.sites.records import Sites
from runtime import redis
from schemas.goals import FUNNELS_MAX, GOALS_MAX, funnel, goal_of, require_unused
from schemas.redis.keys import NOTES_KEY, SITES_KEY
from schemas.redis.scripts import script
from schemas.site import Annotation, RegisteredSite, Segment, SiteNotes

REPLACE = script("replace_field")
TRIES = 20  # against others who write at the same time; two writers need two
SEGMENTS_MAX, ANNOTATIONS_MAX = 100, 200
NAME_CHARS_MAX, TEXT_CHARS_MAX = 120, 500
FILTERS_BYTES_MAX = 16 << 10


class Changes:
    """Changes sites. Every method raises Refused for a change that is not possible, and Away while Redis does not answer."""

    def __init__(self, client: redis.Redis, sites: Sites) -> None:
        self._redis = client
        self._sites = sites

    async def add_goal(self, site: str, text: str) -> None:
        """Adds a goal, written as schemas/goals.py says, in the place of one with the same name."""
        goal = _understood(goal_of, text)

        def change(record: RegisteredSite) -> RegisteredSite:
            goals = [one for one in record.goals if one.name != goal.name]
            _require_room(goals, GOALS_MAX, "goals")
            return replace(record, goals=(*goals, goal))

        await self._change_record(site, change)

    async def remove_goal(self, site: str, name: str) -> None:
        """Removes a goal; nothing happens if there is none of this name."""

        def change(record: RegisteredSite) -> RegisteredSite:
            _understood(require_unused, name, record)
            return replace(record, goals=tuple([one for one in record.goals if one.name != name]))

        await self._change_record(site, change)

    async def add_funnel(self, site: str, name: str, steps: Sequence[str]) -> None:
        """Adds a funnel, in the place of one with the same name. A step is the name of a goal, or a goal."""
        made = _understood(funnel, name.strip(), [step.strip() for step in steps])

        def change(record: RegisteredSite) -> RegisteredSite:
            funnels = [one for one in record.funnels if one.name != made.name]
            _require_room(funnels, FUNNELS_MAX, "funnels")
            return replace(record, funnels=(*funnels, made))

        await self._change_record(site, change)

    async def remove_funnel(self, site: str, name: str) -> None:
        """Removes a funnel; nothing happens if there is none of this name."""

        def change(record: RegisteredSite) -> RegisteredSite:
            return replace(record, funnels=tuple([one for one in record.funnels if one.name != name]))

        await self._change_record(site, change)

    async def add_segment(self, site: str, name: str, filters: list[Any]) -> int:
        """Saves filters under a name, in the place of those of this name, which keep their id. Returns the id."""
        name = _text(name, NAME_CHARS_MAX, "the name of a segment")
        tree = from_json(filters)
        if tree is None:
            raise Refused("a segment has at least one filter")
        for one in compares(tree):
            dimension_of(one.dimension)
        if len(msgspec.json.encode(filters)) > FILTERS_BYTES_MAX:
            raise Refused(f"the filters of a segment take at most {FILTERS_BYTES_MAX} bytes")

        def change(notes: SiteNotes) -> SiteNotes:
            others = [one for one in notes.segments if one.name != name]
            _require_room(others, SEGMENTS_MAX, "segments")
            number = next((one.id for one in notes.segments if one.name == name), notes.last_id + 1)
            made = Segment(id=number, name=name, filters=filters)
            return replace(notes, segments=(*others, made), last_id=max(number, notes.last_id))

        notes = await self._change_notes(site, change)
        return next(one.id for one in notes.segments if one.name == name)

    async def remove_segment(self, site: str, number: int) -> None:
        """Removes a segment; nothing happens if there is none with this id."""

        def change(notes: SiteNotes) -> SiteNotes:
            return replace(notes, segments=tuple([one for one in notes.segments if one.id != number]))

        await self._change_notes(site, change)

    async def add_annotation(self, site: str, day: str, text: str) -> int:
        """Notes what happened on a local day (YYYY-MM-DD), and returns the annotation's id."""
        text = _text(text, TEXT_CHARS_MAX, "the text of an annotation")
        try:
            noted = date.fromisoformat(day)
        except ValueError:
            raise Refused(f"{day[:20]!r} is no day: write 2026-03-01") from None
        if not FIRST <= noted <= LAST:
            raise Refused(f"no chart has the day {noted}: a day lies between {FIRST} and {LAST}")

        def change(notes: SiteNotes) -> SiteNotes:
            _require_room(notes.annotations, ANNOTATIONS_MAX, "annotations")
            made = Annotation(id=notes.last_id + 1, date=noted.isoformat(), text=text)
            return replace(notes, annotations=(*notes.annotations, made), last_id=made.id)

        return (await self._change_notes(site, change)).last_id

    async def remove_annotation(self, site: str, number: int) -> None:
        """Removes an annotation; nothing happens if there is none with this id."""

        def change(notes: SiteNotes) -> SiteNotes:
            return replace(notes, annotations=tuple([one for one in notes.annotations if one.id != number]))

        await self._change_notes(site, change)

    async def _change_record(self, site: str, change: Callable[[RegisteredSite], RegisteredSite]) -> None:
        view = self._sites.get(site)
        name = site if view is None else view.name

        def changed(value: bytes | None) -> bytes:
            if value is None:
                raise Refused(f"{name} is not registered, so it can have no goals: `forebay site add {name}`")
            return change(RegisteredSite.decode(value)).encode_over(value)

        await self._replace(SITES_KEY, name, changed)

    async def _change_notes(self, site: str, change: Callable[[SiteNotes], SiteNotes]) -> SiteNotes:
        view = self._sites.get(site)
        if view is None:
            raise Refused(f"{site[:64]} is not a site")

        def changed(value: bytes | None) -> bytes:
            return change(SiteNotes() if value is None else SiteNotes.decode(value)).encode()

        return SiteNotes.decode(await self._replace(NOTES_KEY, view.name, changed))

    async def _replace(self, key: str, name: str, changed: Callable[[bytes | None], bytes]) -> bytes:
        """Replaces a field by what `changed` makes of its value, and returns the new value."""
        try:
            for _ in range(TRIES):
                found: Any = await self._redis.hget(key, name)
                value = changed(found)
                if await self._redis.eval(REPLACE, 1, key, name, found or b"", value) == b"ok":
                    await self._sites.refresh()
                    return value
        except (redis.RedisError, OSError) as error:
            raise Away("Redis does not answer, so it is not known whether this was changed; look again.") from error
        except Refused:
            raise
        except (ValueError, RecursionError) as error:
            mend = f"HDEL {NOTES_KEY} {name}" if key == NOTES_KEY else f"forebay site add {name}"
            raise Refused(f"the entry of {name} in Redis can't be read: `{mend}` begins it anew") from error
        raise Away("Others change this site all the time; try again.")


def _understood(read: Callable[..., Any], *given: Any) -> Any:
    try:
        return read(*given)
    except ValueError as error:
        raise Refused(str(error)) from error


def _require_room(there: Sequence[object], most: int, what: str) -> None:
    if len(there) >= most:
        raise Refused(f"a site may have {most} {what}: remove one first")


def _text(said: str, most: int, what: str) -> str:
    text = said.strip()
    if not text or len(text) > most or not text.isprintable():
        raise Refused(f"{what} has 1 to {most} characters, all of them printable")
    return text
