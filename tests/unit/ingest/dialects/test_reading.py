"""ingest/dialects/reading.py, credentials.py: what a client says is taken as what it is, and breaks nothing."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from ingest.dialects.coding import from_base64, sniffed
from ingest.dialects.credentials import Basic, basic, bearer, server_key
from ingest.dialects.event import Event, Limits
from ingest.dialects.reading import event_of, json_of, listed, mapping, number, object_of, text, without_nulls
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.fates import Reason


def head(authorization: bytes) -> Head:
    return FieldReader().head("POST", b"/x", [(b"Authorization", authorization)])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", Reason.MALFORMED_JSON),
        (b"", Reason.MALFORMED_JSON),
        (b'"\xff"', Reason.INVALID_UTF8),
        (b"[" * 10_000, Reason.TOO_DEEP),
        (b"[]", Reason.NOT_AN_EVENT),
    ],
)
def test_a_body_that_is_no_object_has_its_reason(body: bytes, reason: Reason) -> None:
    """The first fault decides."""
    with pytest.raises(Rejected) as caught:
        object_of(body)
    assert caught.value.reason is reason


def test_strings_hold_no_nul() -> None:
    """Nor half a character."""
    assert json_of(rb'{"a": "x\u0000\ud83d"}') == {"a": "x\ufffd\ufffd"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], Reason.EMPTY_ARRAY),
        ("x", Reason.NOT_AN_EVENT),
        (None, Reason.NOT_AN_EVENT),
        ([1] * 501, Reason.TOO_MANY_EVENTS),
    ],
)
def test_a_batch_that_is_none_has_its_reason(said: Any, reason: Reason) -> None:
    """And one object is a batch of one."""
    with pytest.raises(Rejected) as caught:
        listed(said, Limits())
    assert caught.value.reason is reason
    assert listed({"a": 1}, Limits()) == [{"a": 1}]


def test_values_are_taken_as_what_they_are() -> None:
    """Anything else is None, and never an error."""
    odd: list[Any] = [None, True, [], {}, "", float("nan"), float("inf")]
    said: list[Any] = ["a", 5, 1.5, *odd[:5]]
    assert [text(one) for one in said] == ["a", "5", "1.5", None, None, None, None, None]
    said = [5, "1.5", 2.5, "x", *odd]
    assert [number(one) for one in said] == [5, 1.5, 2.5, None, *[None] * len(odd)]
    assert number("nan") is None
    said = [{"a": 1}, [], None, "x"]
    assert [mapping(one) for one in said] == [{"a": 1}, {}, {}, {}]
    assert without_nulls({"a": None, "b": 0}) == {"b": 0}


def test_an_event_is_judged_by_its_types() -> None:
    """A field of another type is the event's fault, and not ours."""
    assert event_of({"url": "https://a.example/"}) == Event(url="https://a.example/")
    assert event_of({"url": 5}) is Reason.INVALID_FIELD
    assert event_of({"props": "x"}) is Reason.INVALID_FIELD


@pytest.mark.parametrize("coded", [b"eyJhIjoiPz8_In0", b"eyJhIjoiPz8/In0=", b"eyJhIjoiPz8/In0", b" eyJhIjoiPz8/In0=\n"])
def test_base64_is_read_in_all_its_forms(coded: bytes) -> None:
    """Both alphabets, padded or not, with blanks around."""
    assert from_base64(coded) == b'{"a":"???"}'


def test_a_plus_that_a_form_made_a_blank_is_one_again() -> None:
    """Old browsers do not escape it."""
    said = b'{"a":"~~~>>"}'
    assert from_base64(base64.b64encode(said).replace(b"+", b" ")) == said


@pytest.mark.parametrize("coded", [b"e", b"{}", "é".encode(), b"ab=c"])
def test_what_is_no_base64_has_its_reason(coded: bytes) -> None:
    """A client is told that its coding is damaged."""
    with pytest.raises(Rejected) as caught:
        from_base64(coded)
    assert caught.value.reason is Reason.CORRUPT_ENCODING


def test_unannounced_gzip_is_noticed_within_the_limit() -> None:
    """And what is not compressed is left as it is."""
    assert sniffed(gzip.compress(b"{}"), b"", 100) == b"{}"
    assert sniffed(b"{}", b"", 100) == b"{}"
    with pytest.raises(Rejected) as caught:
        sniffed(gzip.compress(b"a" * 1_000), b"", 100)
    assert caught.value.reason is Reason.BODY_TOO_LARGE


def test_credentials_are_read_as_clients_send_them() -> None:
    """What is none of these is no credential."""
    assert bearer(head(b"Bearer fbk_x")) == bearer(head(b"bearer  fbk_x ")) == "fbk_x"
    assert basic(head(b"Basic " + base64.b64encode(b"WK123:"))) == Basic("WK123", "")
    assert basic(head(b"basic " + base64.b64encode("ü:a:b".encode()))) == Basic("ü", "a:b")
    for odd in (b"", b"Bearer", b"Basic", b"Basic !", b"Digest x", b"\xff\xfe"):
        assert (bearer(head(odd)), basic(head(odd))) == ("", Basic("", ""))
    assert server_key("WK", "fbk_1", "fbk_2") == "fbk_1"
    assert server_key("WK", "") == ""
