"""Exports all panels of a site in one ZIP: a CSV of each panel, with every row.

The ZIP is sent while it is made, one panel after the other, so it needs the memory of one panel and runs one question at a time. A
panel that can't be answered is named in the file `problems.txt` of the ZIP.

Not promised: that all panels show the same moment. Events that arrive meanwhile are in the later panels only.
"""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import AsyncIterator, Iterator

from aiohttp import hdrs, web
from msgspec.structs import replace

from dashboard.access.viewer import Forbidden, Unknown, Viewer, viewer_of
from dashboard.catalogue.contract import FileQuestion, Question, Refused, Unanswered
from dashboard.sites.records import SiteView
from dashboard.web import csv
from dashboard.web.panel_api import Panels
from dashboard.web.panel_request import PanelRequest, decoded
from dashboard.web.panels import PANELS

LEFT_OUT = {"live"}  # it shows the last five minutes, whatever the period
EVENTS_MAX, PROPERTIES_MAX = (
    50,
    50,
)  # so many events have their properties exported, and so many properties their values
PROBLEMS = "problems.txt"
FILE_NAME_BYTES_MAX = 200  # file systems take 255


class Exports:
    """Answers `GET /api/export.zip?q=...`."""

    def __init__(self, panels: Panels) -> None:
        self._panels = panels

    def add_to(self, app: web.Application) -> None:
        """Adds the route."""
        app.router.add_get("/api/export.zip", self._zip)

    async def _zip(self, request: web.Request) -> web.StreamResponse:
        viewer, asked = viewer_of(request), decoded(request.query.get("q", ""))
        pieces = Export(self._panels, viewer, asked).pieces()
        first = await anext(pieces)  # a question that can't be asked at all gets an error and not a ZIP
        name = f"{self._panels.site(viewer, asked.site).name}_{asked.period.replace(',', '_')}.zip"
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "application/zip",
                hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
            }
        )
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        return response


class Export:
    """Makes the ZIP of one question: its site, period, comparison, filters and bots."""

    def __init__(self, panels: Panels, viewer: Viewer, asked: PanelRequest) -> None:
        self._panels = panels
        self._viewer = viewer
        self._asked = replace(asked, order=[], parameters={}, offset=0, limit=1)
        self._site: SiteView = panels.site(viewer, asked.site)
        self._events: list[str] = []
        self._properties: list[str] = []
        self._problems: list[str] = []
        self._names: set[str] = set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields the ZIP piece by piece. Raises Unknown, Refused and Unanswered before the first piece."""
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
            for number, (name, asked) in enumerate(self._fixed()):
                await self._add(file, name, asked, is_first=not number)
                yield sink.taken()
            for event in self._events[:EVENTS_MAX]:
                asked = replace(self._asked, panel="properties", parameters={"name": event})
                await self._add(file, f"properties of {event}", asked)
                yield sink.taken()
            for name in self._properties[:PROPERTIES_MAX]:
                asked = replace(self._asked, panel="property", parameters={"property": name})
                await self._add(file, f"values of {name}", asked)
                yield sink.taken()
            if self._problems:
                file.writestr(PROBLEMS, "\n".join(self._problems) + "\n")
        yield sink.taken()

    def _fixed(self) -> Iterator[tuple[str, PanelRequest]]:
        """Yields the panels that are known before anything is asked, each with the name of its file."""
        for name, panel in PANELS.items():
            if name in LEFT_OUT or None in panel.given.values():
                continue
            yield name, replace(self._asked, panel=name)
        for funnel in self._site.record.funnels:
            yield f"funnel {funnel.name}", replace(self._asked, panel="funnel", parameters={"name": funnel.name})

    async def _add(self, file: zipfile.ZipFile, name: str, asked: PanelRequest, *, is_first: bool = False) -> None:
        try:
            question = await self._panels.question(self._viewer, asked)
            table = await self._panels.whole(question)
        except (Refused, Unanswered, Unknown, Forbidden) as error:
            if is_first:
                raise
            self._problems.append(f"{name}: {error}")
            return
        self._learn(question, asked, [row[0] for row in table.rows])
        file.writestr(f"{file_name(name, self._names)}.csv", csv.written(table))

    def _learn(self, question: Question | FileQuestion, asked: PanelRequest, firsts: list[str]) -> None:
        """Remembers the events that have properties, and the properties."""
        if asked.panel == "events":
            self._events = firsts
        elif isinstance(question, FileQuestion) and question.file == "properties":
            self._properties += [name for name in firsts if name not in self._properties]


class _Sink(io.RawIOBase):
    """Takes the bytes that are written, and hands them on piece by piece. It can't seek, so `zipfile` writes a ZIP for streams."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: object, /) -> int:
        taken = bytes(memoryview(piece))  # type: ignore[arg-type]  # the base class declares a buffer by a name that is private
        self._pieces.append(taken)
        return len(taken)

    def taken(self) -> bytes:
        """Returns what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def file_name(name: str, taken: set[str]) -> str:
    """Returns a name that is a file's everywhere, and adds it to `taken`: events and properties are whatever a stranger called them.

    One that is taken, in whatever case, gets a number.
    """
    kept = "".join(sign if sign.isalnum() or sign in " ._-" else "_" for sign in name).strip(" .")
    short = kept.encode()[:FILE_NAME_BYTES_MAX].decode("utf-8", "ignore").strip(" .") or "_"
    numbered = (f"{short} ({number})" for number in itertools.count(2))
    found = next(one for one in itertools.chain((short,), numbered) if one.casefold() not in taken)
    taken.add(found.casefold())
    return found
