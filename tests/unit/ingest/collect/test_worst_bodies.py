"""Bodies that are made to hold up the loop, or to fill the memory: all are refused before they cost it.

In each of them something small is there as often as a body has room for it: items, escapes of a form, digits of an amount.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable

import pytest

from ingest.collect.url import located
from ingest.dialects.event import Limits, Revenue, revenue_e4
from ingest.dialects.umami_events import one
from ingest.dialects.vocabulary import money
from ingest.fates import Reason
from tests.support.collecting import Bench
from tests.support.growth import STEEPNESS_MAX, steepest

BYTES = 4_500_000  # less than what each of these paths takes
DIGITS = (500, 5_000)
FORMS = ["/e/", "/batch/", "/track/", "/engage/", "/import", "/httpapi", "/2/httpapi"]


def many(item: bytes, size: int = BYTES) -> bytes:
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


@pytest.mark.parametrize("item", [b"{}", b"[]", b"0"])
@pytest.mark.parametrize(
    ("path", "begins"),
    [
        ("/e/", b""),
        ("/batch/", b'{"api_key": "phc_x", "batch": '),
        ("/2/httpapi", b'{"api_key": "x", "events": '),
        ("/batch", b'{"api_key": "x", "events": '),
        ("/track/", b""),
        ("/engage/", b""),
        ("/import", b""),
    ],
)
async def test_more_items_than_clients_write_are_refused_uncounted(path: str, begins: bytes, item: bytes) -> None:
    """To make objects of them costs seconds and hundreds of megabytes, and then there are too many."""
    bench = await Bench().ready()
    found = bench.post(begins + many(item) + b"}" * bool(begins), target=path.encode())
    assert (found.status, dict(bench.reasons)) == (413, {Reason.BODY_TOO_LARGE: 1})


@pytest.mark.parametrize("path", ["/track/", "/engage/", "/import"])
@pytest.mark.parametrize("written", ["base64", "gzip", "lines"])
async def test_neither_are_they_in_another_form(path: str, written: str) -> None:
    """What counts is what comes out."""
    items = many(b"{}", 3_000_000)
    body = {"base64": base64.b64encode(items), "gzip": gzip.compress(items, 1), "lines": b"{}\n" * 1_400_000}[written]
    bench = await Bench().ready()
    found = bench.post(body, target=path.encode())
    assert (found.status, dict(bench.reasons)) == (413, {Reason.BODY_TOO_LARGE: 1})


@pytest.mark.parametrize("escape", [b"%", b"%7B"])
@pytest.mark.parametrize("path", FORMS)
async def test_more_escapes_than_clients_write_are_refused_as_they_are(path: str, escape: bytes) -> None:
    """Each becomes a piece of text of its own: 10 MiB of them took five seconds, and 1.5 GB."""
    bench = await Bench().ready()
    found = bench.post(b"data=" + escape * (BYTES // len(escape)), target=path.encode())
    assert (found.status, dict(bench.reasons)) == (413, {Reason.BODY_TOO_LARGE: 1})


async def test_a_batch_of_the_usual_kind_is_not_one_of_them() -> None:
    """Two thousand events with twenty properties each, 3 MB as JSON and more as a form."""
    item = b'{"event": "x", "properties": {"token": "t", %s}}' % b", ".join(
        b'"property %d": "x, y"' % at for at in range(50)
    )
    bench = await Bench().ready()
    found = bench.post(many(item, 2_000 * (len(item) + 1)), target=b"/import")
    assert (found.status, dict(bench.reasons)) == (401, {Reason.UNKNOWN_SITE: 2_000})


def test_an_amount_that_is_none_is_known_as_quickly_as_it_is_long() -> None:
    """A pattern that can read a digit in two ways tries all of them: 16 kB took eight seconds."""

    def twenty_times(read: Callable[[str], object]) -> Callable[[int], Callable[[], object]]:
        """Returns work that takes long enough to be measured a few times, and not thousands of times."""
        return lambda size: lambda: [read("1" * size + "x") for _ in range(20)]

    assert steepest(twenty_times(lambda said: revenue_e4(Revenue(said, "EUR"))), DIGITS) < STEEPNESS_MAX
    assert steepest(twenty_times(lambda said: money(said, "EUR")), DIGITS) < STEEPNESS_MAX


@pytest.mark.parametrize(
    ("price", "quantity"),
    [("1e999999", 1), ("1e999999", "1e999999"), ("1e9999", "1e9999"), (10**400, 10**400), ([], {})],
)
async def test_a_price_that_is_too_much_is_no_text_of_a_million_digits(price: object, quantity: object) -> None:
    """It is no money: either a property that is kept as it is, or a reason."""
    bench = await Bench().ready()
    event = {"event_type": "x", "device_id": "d", "price": price, "quantity": quantity}
    found = bench.post({"api_key": "x", "events": [event]}, target=b"/2/httpapi")
    assert (found.status, dict(bench.reasons)) == (400, {Reason.UNKNOWN_SITE: 1})


@pytest.mark.parametrize("depth", range(300, 1_000, 10))
def test_what_is_just_too_deep_has_its_reason(depth: int) -> None:
    """How deep that is depends on who called, so that a second look may not see what the first one saw."""
    deep = b'{"type": "event", "payload": {"website": %s}}' % (b"[" * depth + b"]" * depth)
    assert one(deep, Limits()) in {Reason.TOO_DEEP, Reason.INVALID_FIELD}


def test_a_page_that_no_row_holds_is_not_looked_through() -> None:
    """Escapes in it stay as they are; shorter ones have one form."""
    assert (located("https://example.com/%41/") or "?")[1] == "https://example.com/A/"
    long = located("https://example.com/" + "%41" * 20_000)
    assert long is not None
    assert long.page.endswith("%41%41")
