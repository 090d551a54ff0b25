"""Lists the paths on which events are collected, each with its method and its dialect: the one table of them.

A `*` between two slashes stands for one part of a path, and one at the end of a path for any rest of it; paths without a `*`
are looked up first. A path and a method have one row: where two families share them, that row has a Fork. The limits of a row are
those of its dialect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ingest.dialects.amplitude import Amplitude, AmplitudeConfig, AmplitudeForm
from ingest.dialects.contract import Dialect, Fork
from ingest.dialects.event import Limits
from ingest.dialects.forks import is_amplitude, is_openpanel, is_posthog
from ingest.dialects.ga4 import Gtag, MeasurementProtocol, Validation
from ingest.dialects.goatcounter import GoatCounter, GoatCounterApi
from ingest.dialects.matomo import Matomo
from ingest.dialects.mixpanel import Mixpanel, MixpanelImport, MixpanelProfiles, MixpanelRecord, flags, settings
from ingest.dialects.native import Native, Pixel, PixelHead
from ingest.dialects.openpanel import OpenPanel
from ingest.dialects.plausible import Plausible
from ingest.dialects.posthog import NO_RECORDINGS, CaptureV1, PostHog, Unkept
from ingest.dialects.posthog_config import Config, ConfigScript, Flags, Static
from ingest.dialects.rybbit import Rybbit, RybbitConfiguration, RybbitIdentify
from ingest.dialects.segment import KINDS, Jitsu, Metrics, Segment, SegmentPixel
from ingest.dialects.segment_settings import Settings
from ingest.dialects.snowplow import Snowplow, SnowplowPixel
from ingest.dialects.umami import Umami, UmamiBatch
from schemas.tracker_names import EVENTS_PATH


class TableRow(NamedTuple):
    """Holds the dialect of a method on a path."""

    method: str
    path: str
    dialect: Dialect | Fork


def table(limits: Limits, events_path: str = EVENTS_PATH) -> tuple[TableRow, ...]:
    """Returns all rows. `limits` are those of the settings; a family whose clients send more raises its own.

    `events_path` takes what /f takes, beside it.
    """
    return (
        *(row for path in sorted({EVENTS_PATH, events_path}) for row in _native(limits, path)),
        *_posthog(limits),
        *_segment(limits),
        *_amplitude(limits),
        *_mixpanel(limits),
        *_ga4(limits),
        TableRow("POST", "/com.snowplowanalytics.snowplow/tp2", Snowplow(limits)),
        TableRow("GET", "/i", SnowplowPixel(limits)),
        *_shared(limits),
        *_umami(limits),
        *_rybbit(limits),
        *_matomo(limits),
        *_goatcounter(limits),
        TableRow("POST", "/api/event", Plausible(limits)),
    )


def _native(limits: Limits, path: str) -> Iterator[TableRow]:
    yield TableRow("POST", path, Native(limits))
    yield TableRow("GET", f"{path}.gif", Pixel(limits))
    yield TableRow("HEAD", f"{path}.gif", PixelHead(limits))


def _posthog(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of PostHog's clients, which write a path with or without a slash at its end."""
    events, flags = PostHog(limits), Flags(limits)
    for path in ("/e", "/i/v0/e", "/capture"):
        for method in ("POST", "GET"):
            yield TableRow(method, path, events)
            yield TableRow(method, path + "/", events)
    recordings = Unkept(limits, "/s/", "$snapshot", NO_RECORDINGS)
    ai, logs = Unkept(limits, "/i/v0/ai/batch/", "$ai"), Unkept(limits, "/i/v1/logs", "logs")
    for path, unkept in (("/s", recordings), ("/i/v0/ai/batch", ai), ("/i/v1/logs", logs)):
        yield TableRow("POST", path, unkept)
        yield TableRow("POST", path + "/", unkept)
    yield TableRow("POST", "/i/v1/analytics/events", CaptureV1(limits))
    yield TableRow("GET", "/array/*/config", Config(limits))
    yield TableRow("GET", "/array/*/config.js", ConfigScript(limits))
    yield TableRow("GET", "/static/*", Static(limits))
    for path in ("/flags", "/flags/", "/decide", "/decide/"):
        yield TableRow("POST", path, flags)


def _segment(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of Segment's clients: browsers write a type as one letter."""
    messages, settings = Segment(limits), Settings(limits)
    for path in ("batch", "b", "import", *KINDS):
        yield TableRow("POST", f"/v1/{path}", messages)
    yield TableRow("POST", "/v1/m", Metrics(limits))
    yield TableRow("GET", "/v1/pixel/*", SegmentPixel(limits))
    yield TableRow("GET", "/v1/projects/*/settings", settings)
    yield TableRow("POST", "/api/s/*", Jitsu(limits))


def _amplitude(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of Amplitude's clients."""
    json, form, config = Amplitude(limits), AmplitudeForm(limits), AmplitudeConfig(limits)
    yield TableRow("POST", "/2/httpapi", json)
    for path in ("/httpapi", "/identify", "/groupidentify"):
        yield TableRow("POST", path, form)
    for path in ("/config", "/config/*"):
        yield TableRow("GET", path, config)


def _mixpanel(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of Mixpanel's clients: browsers end a path with a slash, servers do not."""
    groups, past, record = MixpanelProfiles(limits, "groups"), MixpanelImport(limits), MixpanelRecord(limits)
    for path, dialect in (("/groups", groups), ("/import", past)):
        for method in ("POST", "GET"):
            yield TableRow(method, path, dialect)
            yield TableRow(method, path + "/", dialect)
    for path in ("/record", "/record/"):
        yield TableRow("POST", path, record)
    for path, answer in (("/flags", flags(limits)), ("/settings", settings(limits)), ("/decide", flags(limits))):
        yield TableRow("GET", path, answer)
        yield TableRow("GET", path + "/", answer)


def _ga4(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of Google Analytics 4."""
    pages = Gtag(limits)
    yield TableRow("POST", "/g/collect", pages)
    yield TableRow("GET", "/g/collect", pages)
    yield TableRow("POST", "/mp/collect", MeasurementProtocol(limits))
    yield TableRow("POST", "/debug/mp/collect", Validation(limits))


def _shared(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of paths that several families have (forks.py). Those of a path with and without a slash are equal."""
    posthog, amplitude = PostHog(limits), Amplitude(limits)
    batches = Fork(posthog, (is_amplitude, amplitude))
    openpanel = OpenPanel(limits)
    events = Fork(Mixpanel(limits), (is_openpanel, openpanel), (is_posthog, posthog))
    people = Fork(MixpanelProfiles(limits, "engage"), (is_posthog, posthog))
    for path in ("/batch", "/batch/"):
        yield TableRow("POST", path, batches)
        yield TableRow("GET", path, posthog)
    for path, fork in (("/track", events), ("/engage", people)):
        for method in ("POST", "GET"):
            yield TableRow(method, path, fork)
            yield TableRow(method, path + "/", fork)
    yield TableRow("POST", "/api/track", Fork(Rybbit(limits), (is_openpanel, openpanel)))


def _umami(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of Umami's clients."""
    yield TableRow("POST", "/api/send", Umami(limits))
    yield TableRow("POST", "/api/batch", UmamiBatch(limits))


def _rybbit(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of Rybbit's clients."""
    yield TableRow("POST", "/api/identify", RybbitIdentify(limits))
    yield TableRow("GET", "/api/site/tracking-config/*", RybbitConfiguration(limits))


def _matomo(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of Matomo's clients, whose older ones call it Piwik."""
    events = Matomo(limits)
    for path in ("/matomo.php", "/piwik.php"):
        for method in ("GET", "POST"):
            yield TableRow(method, path, events)


def _goatcounter(limits: Limits) -> Iterator[TableRow]:
    """Yields the rows of GoatCounter's clients; the path may name the site."""
    pages, servers = GoatCounter(limits), GoatCounterApi(limits)
    for before in ("", "/goatcounter/*"):
        for method in ("GET", "POST"):
            yield TableRow(method, before + "/count", pages)
        yield TableRow("POST", before + "/api/v0/count", servers)
