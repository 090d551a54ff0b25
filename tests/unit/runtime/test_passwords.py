"""runtime/passwords.py: argon2id, as slow for nobody's password as for somebody's."""

from __future__ import annotations

import argon2
import pytest

from runtime.passwords import NOBODY, hashed, is_right


def test_a_password_is_known_again() -> None:
    """By its hash alone, which is another one each time."""
    kept = hashed("four words and more")
    assert kept != hashed("four words and more")
    assert "four" not in kept
    assert is_right(kept, "four words and more")
    assert not is_right(kept, "four words and mor")


def test_letters_are_the_same_however_they_are_written() -> None:
    """A keyboard may send one sign for an umlaut, or a letter and two dots."""
    assert is_right(hashed("sch\u00f6ner Stra\u00dfenname"), "scho\u0308ner Stra\u00dfenname")


def test_nobodys_password_costs_as_much_as_anybodys() -> None:
    """Its hash has the same parameters, so an answer takes the same time for a name that nobody has."""
    assert argon2.extract_parameters(NOBODY) == argon2.extract_parameters(hashed("four words and more"))
    assert argon2.extract_parameters(NOBODY).type is argon2.Type.ID
    assert argon2.extract_parameters(NOBODY).memory_cost >= 46 << 10
    assert not is_right(NOBODY, "")


@pytest.mark.parametrize("kept", ["", "nonsense", "$argon2id$v=19$m=65536,t=3,p=4$x", "$2b$12$abcdefghijklmnopqrstuv"])
def test_a_hash_that_can_not_be_read_is_nobodys(kept: str) -> None:
    """It lets nobody in, and is no fault."""
    assert not is_right(kept, "four words and more")
    assert not is_right(hashed("four words and more"), "\ud800")
