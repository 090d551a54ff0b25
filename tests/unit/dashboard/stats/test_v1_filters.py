"""Filters of the first Stats API: what their text says, and the sentence for what says nothing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.filter_json import from_json
from dashboard.stats.v1_filters import to_json


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", []),
        (" ; ", []),
        ("visit:country==FR", [["is", "visit:country", ["FR"]]]),
        (" visit:country == FR ", [["is", "visit:country", ["FR"]]]),
        ("visit:country!=FR", [["is_not", "visit:country", ["FR"]]]),
        ("visit:source==Google|Bing", [["is", "visit:source", ["Google", "Bing"]]]),
        (r"visit:source==a\|b|c\;d", [["is", "visit:source", ["a|b", "c;d"]]]),
        ("event:page==/blog/**", [["matches_wildcard", "event:page", ["/blog/**"]]]),
        ("event:page!=/blog/*", [["matches_wildcard_not", "event:page", ["/blog/*"]]]),
        ("event:page==/a|/b*", [["matches_wildcard", "event:page", ["/a", "/b*"]]]),
        ("event:page==/?a==b", [["is", "event:page", ["/?a==b"]]]),
        ("event:page==/?a!=b", [["is", "event:page", ["/?a!=b"]]]),
        ("event:goal==Visit /register|Signup", [["is", "event:goal", ["Visit /register", "Signup"]]]),
        ("visit:source==", [["is", "visit:source", [""]]]),
        (
            "event:page==/;visit:country!=FR",
            [["is", "event:page", ["/"]], ["is_not", "visit:country", ["FR"]]],
        ),
    ],
)
def test_what_a_text_says(text: str, said: list[object]) -> None:
    """Each sign of the old grammar has its form in the new one."""
    assert to_json(text) == said


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("visit:country", "A filter is like visit:country==FR or event:page!=/blog, not"),
        ("==FR", "A filter is like"),
        ("visit:country=FR", "A filter is like"),
        ("visit:country~FR", "A filter is like"),
        ("visit:country!=FR|DE", "!= can't be asked of several values by |"),
        ("event:goal!=Signup", "!= can't be asked of goals"),
    ],
)
def test_what_says_nothing_is_refused(text: str, fault: str) -> None:
    """A text that is no filter, or one that this grammar does not have, is named in a sentence."""
    with pytest.raises(Refused) as caught:
        to_json(text)
    assert fault in str(caught.value)


@given(text=st.text("ab:=!|;\\* é\x00", max_size=30))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    """No text makes another error than Refused, neither here nor where its JSON is read."""
    with contextlib.suppress(Refused):
        from_json(to_json(text))
