"""ingest/dialects/ignored.py: with ?debug=1 a client learns the name of each thing that had no effect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.event import Limits, flatten
from ingest.dialects.ignored import NAMES_MAX, ignored, without_effect
from ingest.dialects.native import HEEDED

LONG = "x" * 501


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"url": "u", "auto": 1, "props": {}, "revenue": None}, []),
        ({"titel": None, "ip": "1.2.3.4"}, ["titel", "ip"]),
        ({"revenue": {"amount": 1, "currency": "EUR", "tax": 2, "note": None}}, ["revenue.tax"]),
        ({"vitals": {"lcp": 1, "fid": 2, "tbt": None}}, ["vitals.fid"]),
        ({"vitals": [], "props": [], "revenue": 7}, []),
        ({"props": {"a": 1, "b": LONG, "c": None, "d": [LONG], "y" * 61: 1, "": 1}}, ["props.b", "props.d", "props." + "y" * 61, "props."]),
        ({"props": {"a": {"b": {"c": {"d": 1}, "e": 1}}}}, ["props.a.b.c"]),
        ({"props": {f"p{at}": at for at in range(32)}}, ["props.p30", "props.p31"]),
        ({"props": {"a\0b": LONG}}, ["props.a\ufffdb"]),
        ({"n" * 200: 1}, ["n" * 120]),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_named(said: dict[str, Any], names: list[str]) -> None:
    """A name within a field has that field's before it; null says nothing, so nothing of it is lost."""
    assert without_effect(said, HEEDED, Limits()) == names


def test_the_list_is_bounded() -> None:
    """A stranger's event can have thousands of names."""
    assert len(without_effect({f"x{at}": 1 for at in range(5_000)}, HEEDED, Limits())) == NAMES_MAX


PROPS = st.recursive(
    st.none() | st.integers() | st.just(LONG), lambda inner: st.dictionaries(st.text("ab.", max_size=3), inner)
)


@given(st.dictionaries(st.text("ab.", max_size=3), PROPS, max_size=5))
def test_properties_are_named_only_if_one_is_left_out(props: dict[str, Any]) -> None:
    """And if one was kept, it is not named."""
    kept, dropped = flatten(props, Limits())
    names = without_effect({"props": props}, HEEDED, Limits())
    assert dropped or not names
    assert not {name.removeprefix("props.") for name in names} & set(kept)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,ap1', max_size=40).map(str.encode))
def test_any_text_has_a_list_for_each_item(text: bytes) -> None:
    """Nothing is raised, because the text is judged elsewhere."""
    try:
        said = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        said = None
    assert len(ignored(text, heeded=HEEDED, limits=Limits())) == (len(said) if isinstance(said, list) else 1)
