"""Which form of a text a browser gets."""

import gzip

import pytest

from runtime.coded import Coded, takes


@pytest.mark.parametrize(
    ("accepted", "is_taken"),
    [
        ("br", True),
        ("gzip, deflate, br, zstd", True),
        ("BR;q=0.5", True),
        ("*", True),
        ("br;q=0, *", False),
        ("*;q=0", False),
        ("*;q=0, br;q=1", True),
        ("brotli", False),
        ("identity", False),
        ("", False),
    ],
)
def test_a_coding_is_taken_when_it_is_named_and_not_ruled_out(accepted: str, is_taken: bool) -> None:
    """RFC 9110, 12.5.3: a coding's own weight comes before that of `*`."""
    assert takes(accepted, "br") == is_taken


def test_each_form_has_its_own_tag() -> None:
    """Which changes with the text, and with nothing else."""
    script, other = Coded(b"text", b"smaller"), Coded(b"another")
    forms = [script.form(accepted) for accepted in ("br, gzip", "gzip", "")]
    assert [form.coding for form in forms] == ["br", "gzip", ""]
    assert (forms[0].body, gzip.decompress(forms[1].body), forms[2].body) == (b"smaller", b"text", b"text")
    assert len({form.tag for form in forms} | {other.form("").tag}) == 4
    assert Coded(b"text").form("gzip") == forms[1]
    assert other.form("br").coding == ""
