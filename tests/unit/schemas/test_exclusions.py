"""schemas/exclusions.py: a rule has one form, whichever way it was written, and a pattern fits what it says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.collect.url import located
from schemas.exclusions import KINDS, address, country, fits, hostname, path
from schemas.site import Exclusions

FORMS: list[tuple[Callable[[str], str], str, str]] = [
    (address, "203.0.113.7", "203.0.113.7"),
    (address, " 203.0.113.7/24 ", "203.0.113.0/24"),
    (address, "203.0.113.7/32", "203.0.113.7"),
    (address, "2001:DB8::1", "2001:db8::/64"),
    (address, "2001:db8::1/128", "2001:db8::1/128"),
    (address, "::ffff:203.0.113.7", "203.0.113.7"),
    (address, "::ffff:203.0.113.0/120", "203.0.113.0/24"),
    (path, "/admin/*", "/admin/*"),
    (path, "*.php", "*.php"),
    (path, "/über/%7euser/%c3%a4", "/%C3%BCber/~user/%C3%A4"),
    (path, "/#/route/*", "/#/route/*"),
    (country, "de", "DE"),
    (country, "UK", "GB"),
    (hostname, "WWW.Staging.Example.com.", "staging.example.com"),
    (hostname, "*.bücher.example", "*.xn--bcher-kva.example"),
    (hostname, "[::1]", "[::1]"),
]


@pytest.mark.parametrize(("form", "said", "kept"), FORMS)
def test_a_rule_has_one_form(form: Callable[[str], str], said: str, kept: str) -> None:
    """A rule that has it already stays as it is."""
    assert form(said) == kept
    assert form(kept) == kept


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (address, ""), (address, "me"), (address, "203.0.113.0/33"), (address, "0.0.0.0/0"), (address, "::/0"),
        (address, "::ffff:0:0/96"), (address, "203.0.113"),
        (path, ""), (path, "admin"), (path, "/a?b=c"), (path, "/*"), (path, "*"), (path, "/" + "x" * 500),
        (country, ""), (country, "Germany"), (country, "XX"),
        (hostname, ""), (hostname, "*"), (hostname, "*.*"), (hostname, "https://a.example/"), (hostname, "a.example:80"),
        (hostname, "x" * 254),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_what_is_wrong(form: Callable[[str], str], said: str) -> None:
    """Nor is one that would leave out everything."""
    with pytest.raises(ValueError, match=r"\w{3}"):
        form(said)


def test_every_kind_of_exclusion_has_its_form() -> None:
    """The record and the table name the same."""
    assert tuple(KINDS) == Exclusions.__struct_fields__


@given(
    st.text(max_size=30).filter(
        lambda text: not re.search(r"[?#*]|\.", text) and not re.search(r"[\x00-\x20\x7f]|\\", text)
    )
)
def test_a_path_has_the_form_in_which_ingest_keeps_it(text: str) -> None:
    """So a rule fits the pages that it names, in whichever script."""
    text = "/" + text.encode("utf-8", "replace").decode() + "x"
    found = located(f"https://a.example{text}")
    assert found is not None
    assert path(text) == found.page.removeprefix("https://a.example")


@given(st.text("ab/*", max_size=8), st.text("ab/", max_size=12))
def test_a_pattern_fits_what_a_regular_expression_does(pattern: str, text: str) -> None:
    """A star stands for any characters, and for none."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert fits(pattern, text) == (re.fullmatch(expression, text) is not None)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """A regular expression would take years."""
    began = time.process_time()
    assert not fits("*a" * 200 + "*b*c", "a" * 2_000 + "b")
    assert time.process_time() - began < 1
