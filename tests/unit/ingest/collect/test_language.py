"""ingest/collect/language.py: one form of a language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.collect.language import CHARS_MAX, REMEMBERED, Languages, language_of


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("en-US", "en-US"),
        ("en_us", "en-US"),
        ("EN-us", "en-US"),
        ("de", "de"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("sr_latn", "sr-Latn"),
        ("es-419", "es-419"),
        ("fil-PH", "fil-PH"),
        (" pt-BR ", "pt-BR"),
        ("de_DE.UTF-8", "de-DE"),
        ("en_US@posix", "en-US"),
        ("de-CH-1996", "de-CH"),
        ("ca-ES-valencia", "ca-ES"),
        ("en-US-u-hc-h12", "en-US"),
        ("de,en-US;q=0.7, en", "de"),
        ("", ""),
        ("*", ""),
        ("C", ""),
        ("english", ""),
        ("x-klingon", ""),
        ("<script>", ""),
        ("e" * 5_000, ""),
        ("дe", ""),
    ],
)
def test_a_language_has_one_form(said: str, expected: str) -> None:
    """The form of BCP 47, without what stands behind the region; what is not a tag becomes empty."""
    assert language_of(said) == expected


@given(st.text(max_size=80))
def test_any_text_is_a_language_or_nothing(said: str) -> None:
    """What comes out is ASCII, and goes in again unchanged."""
    found = language_of(said)
    assert found.isascii()
    assert language_of(found) == found


def test_what_strangers_invent_is_remembered_within_a_bound() -> None:
    """The answer is the same when there is no more room."""
    languages = Languages()
    for at in range(REMEMBERED + 10):
        assert languages[f"en-US-{at}"] == "en-US"
    assert languages["d" * (CHARS_MAX + 1)] == ""
    assert len(languages) == REMEMBERED
