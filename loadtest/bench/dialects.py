"""Measures what an event of each dialect costs ingest, beside a native one: `python -m loadtest.bench.dialects`.

    native, posthog, native, segment, ... and again: one event in a request, then fifty

Each is one request as the family's newest client for browsers writes it, without ids and moments, which wrk sends again and
again to the worker of a stand. CPU time of ingest is what counts, so it may run beside other work. The figure is the median of the
rounds' ratios, each to the native round before it. It ends with 1 if a ratio is above TIMES_MAX.

Not promised: that an event's bytes are as many. Other families say more of each event, and to read that is in the ratio.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from base64 import b64encode
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from loadtest.bench import children, wrk
from loadtest.bench.ask import BenchError
from loadtest.bench.bodies import EVENT, SITE, Fixed
from loadtest.bench.config import environment
from loadtest.bench.stand import Stand, running

TIMES_MAX = 2.0
ROUNDS, SECONDS, MANY = 3, 2, 50
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
HEADERS = {
    "User-Agent": AGENT,
    "Accept-Language": "en-US,en;q=0.9",
    "Origin": f"https://{SITE}",
    "Content-Type": "text/plain;charset=UTF-8",
}
URL, REFERRER, TITLE = EVENT["url"], EVENT["referrer"], EVENT["title"]
DEVICE, SESSION = "01a2062a-7b4a-741a-8d17-6109e7aa19c0", "01a2062a-7b8d-7be3-a640-5f1987730be0"
POSTHOG = {
    "event": "$pageview",
    "properties": {
        "$os": "Linux", "$browser": "Chrome", "$browser_version": 143, "$device_type": "Desktop", "$timezone": "UTC",
        "$current_url": URL, "$host": SITE, "$pathname": "/docs/guide/install-17", "$raw_user_agent": AGENT,
        "$browser_language": "en-US", "$screen_height": 1080, "$screen_width": 1920, "$viewport_height": 768,
        "$viewport_width": 1024, "$lib": "web", "$lib_version": "1.449.2", "$insert_id": "k0olp3neqfzzutks",
        "$time": 1795399777.164, "distinct_id": DEVICE, "$device_id": DEVICE, "utm_source": "newsletter", "utm_medium": "email",
        "utm_campaign": None, "gclid": None, "$referrer": REFERRER, "$referring_domain": "www.google.com", "token": "phc_bench",
        "$session_id": SESSION, "$window_id": SESSION, "$pageview_id": SESSION, "$is_identified": False,
        "$process_person_profile": False, "title": TITLE,
    },
}  # fmt: skip
SEGMENT = {
    "type": "page", "anonymousId": DEVICE, "userId": None, "integrations": {"Segment.io": True}, "writeKey": "bench",
    "properties": {"path": "/docs/guide/install-17", "referrer": REFERRER, "title": TITLE, "url": URL},
    "context": {
        "page": {"path": "/docs/guide/install-17", "referrer": REFERRER, "title": TITLE, "url": URL},
        "userAgent": AGENT, "locale": "en-US", "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
        "campaign": {"source": "newsletter", "medium": "email"}, "timezone": "UTC",
    },
    "_metadata": {"bundled": ["Segment.io"], "unbundled": [], "bundledIds": []},
}  # fmt: skip
PLAUSIBLE = {"n": "pageview", "v": 36, "u": URL, "d": SITE, "r": REFERRER, "p": {"plan": "free"}}
WEBSITE = "50429a93-8479-4073-be80-d5d29c09c2ec"
UMAMI = {
    "type": "event",
    "payload": {
        "website": WEBSITE, "screen": "1920x1080", "language": "en-US", "title": TITLE, "hostname": SITE, "url": URL,
        "referrer": REFERRER, "tag": "variant-a",
    },
}  # fmt: skip

AMPLITUDE = {
    "device_id": DEVICE, "session_id": 1_795_399_777_164, "platform": "Web", "language": "en-US", "ip": "$remote",
    "event_type": "[Amplitude] Page Viewed", "event_id": 2, "library": "amplitude-ts/2.48.1", "user_agent": AGENT,
    "event_properties": {
        "utm_source": "newsletter", "utm_medium": "email", "[Amplitude] Page Domain": SITE, "[Amplitude] Page Location": URL,
        "[Amplitude] Page Path": "/docs/guide/install-17", "[Amplitude] Page Title": TITLE, "[Amplitude] Page URL": URL,
        "[Amplitude] Page View ID": SESSION, "[Amplitude] Page Counter": 1, "[Amplitude] Previous Page Location": REFERRER,
        "[Amplitude] Previous Page Type": "external",
    },
}  # fmt: skip
MIXPANEL = {
    "event": "$mp_web_page_view",
    "properties": {
        "$os": "Linux", "$browser": "Chrome", "$current_url": URL, "$browser_version": 143, "$screen_height": 1080,
        "$screen_width": 1920, "$referrer": REFERRER, "$referring_domain": "www.google.com", "mp_lib": "web",
        "$lib_version": "2.83.0", "distinct_id": f"$device:{DEVICE}", "$device_id": DEVICE, "$initial_referrer": REFERRER,
        "$initial_referring_domain": "www.google.com", "utm_source": "newsletter", "utm_medium": "email",
        "current_page_title": TITLE, "current_domain": SITE, "current_url_path": "/docs/guide/install-17",
        "current_url_protocol": "https:", "token": "bench", "mp_sent_by_lib_version": "2.83.0",
    },
}  # fmt: skip


class Family(NamedTuple):
    """Holds how a family's client sends: the paths of one event and of many ("" if it has none), and what it writes around many."""

    one: str
    many: str
    event: dict[str, Any]
    around: dict[str, Any] | None  # None: a plain array
    field: str = ""  # of `around`, in which the events are
    wraps_one: bool = False  # whether one event is written as many are
    key: str = ""  # of the site
    headers: tuple[tuple[str, str], ...] = ()
    form: str = ""  # the field of a form that has the body in base64

    def body(self, events: int) -> bytes:
        """Returns a body of so many events."""
        many = [self.event] * events
        said: object = many if self.around is None else self.around | {self.field: many}
        text = msgspec.json.encode(self.event if events == 1 and not self.wraps_one else said)
        return f"{self.form}={quote(b64encode(text), safe='')}".encode() if self.form else text


FAMILIES = {
    "native": Family("/f", "/f", EVENT, None),
    "posthog": Family(
        "/i/v0/e/", "/i/v0/e/", POSTHOG, {"api_key": "phc_bench"}, "batch", wraps_one=True, key="posthog:phc_bench"
    ),
    "amplitude": Family(
        "/2/httpapi", "/2/httpapi", AMPLITUDE, {"api_key": "bench"}, "events", wraps_one=True, key="amplitude:bench"
    ),
    "mixpanel": Family(
        "/track/?verbose=1&ip=1",
        "/track/?verbose=1&ip=1",
        MIXPANEL,
        None,
        wraps_one=True,
        key="mixpanel:bench",
        form="data",
        headers=(("Content-Type", "application/x-www-form-urlencoded"),),
    ),
    "segment": Family("/v1/p", "/v1/b", SEGMENT, {"writeKey": "bench"}, "batch", key="segment:bench"),
    "plausible": Family("/api/event", "", PLAUSIBLE, None),
    "umami": Family("/api/send", "/api/batch", UMAMI, None, key=f"umami:{WEBSITE}"),
}


class Costs:
    """Measures one stand."""

    def __init__(self, stand: Stand, directory: Path, core: int) -> None:
        self._stand = stand
        self._directory = directory
        self._core = core

    def us(self, family: str, events: int, seconds: int) -> float:
        """Returns the CPU microseconds of ingest for an event. Raises BenchError if one is not taken."""
        how = FAMILIES[family]
        fixed = self._written(family, events)
        usage, before = self._stand.usage(), self._stand.accepted()
        path = how.one if events == 1 else how.many
        found = wrk.post(
            f"{self._stand.url}{path}", seconds=seconds, core=self._core, script="fixed.lua", arguments=fixed.arguments
        )
        usage.look()
        took = usage.usage["ingest"].cpu_s
        taken = self._stand.accepted() - before
        if taken < found.requests * events:
            raise BenchError(f"{family}: {taken:,} of {found.requests * events:,} events were accepted")
        self._stand.drained(before + taken)
        return took / taken * 1e6

    def _written(self, family: str, events: int) -> Fixed:
        body, headers = self._directory / f"{family}-{events}", self._directory / f"{family}-headers"
        body.write_bytes(FAMILIES[family].body(events))
        lines = [f"{name}: {value}" for name, value in (HEADERS | dict(FAMILIES[family].headers)).items()]
        headers.write_text("\n".join(lines) + "\n", "utf-8")
        return Fixed(body, headers, events, {})


def register(stand: Stand) -> None:
    """Gives the site the keys of all families."""
    words = [sys.executable, "-m", "forebay", "site", "add", SITE, "--data", str(stand.data)]
    words += [word for how in FAMILIES.values() if how.key for word in ("--key", how.key)]
    made = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=environment())
    if made.returncode:
        raise BenchError(f"forebay site add: {made.stderr.strip()}")


def until_known(stand: Stand, costs: Costs) -> None:
    """Waits until ingest has read the keys, which it does every two seconds."""

    def is_taken() -> bool:
        try:
            for family in FAMILIES:
                costs.us(family, 1, 1)
        except BenchError:
            return False
        return True

    stand.until(is_taken, 60, "ingest to know the keys")


def measure(names: list[str], rounds: int, seconds: int) -> float:
    """Prints the ratios, and returns the highest."""
    first, second = children.cores()
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="forebay-dialects-") as home:
        directory = Path(home)
        with children.on(second), running(directory, sys.executable, children.ROOT) as stand:
            children.pin(stand.facts.pids_of("ingest")[0], first)
            register(stand)
            costs = Costs(stand, directory, second)
            until_known(stand, costs)
            for events in (1, MANY):
                for name in names:
                    if events == MANY and not FAMILIES[name].many:
                        continue
                    turns = [
                        (costs.us("native", events, seconds), costs.us(name, events, seconds)) for _ in range(rounds)
                    ]
                    times = median(theirs / ours for ours, theirs in turns)
                    worst = max(worst, times)
                    ours, theirs = (median(side) for side in zip(*turns, strict=True))
                    bytes_ = len(FAMILIES[name].body(events))
                    print(
                        f"{name:10} {events:3} in a request, {bytes_:6} bytes: {theirs:6.2f} us an event,"
                        f" native {ours:6.2f}: {times:.2f} times",
                        flush=True,
                    )
    return worst


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m loadtest.bench.dialects", description=__doc__)
    options.add_argument("--family", action="append", choices=[name for name in FAMILIES if name != "native"])
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--seconds", type=int, default=SECONDS)
    asked = options.parse_args()
    names = asked.family or [name for name in FAMILIES if name != "native"]
    try:
        return int(measure(names, asked.rounds, asked.seconds) > TIMES_MAX)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
