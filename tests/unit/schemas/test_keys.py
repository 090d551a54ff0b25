"""schemas/keys.py: how a key is written, and that only its hash says anything of it."""

from __future__ import annotations

import secrets

import pytest

from schemas.keys import NOBODY, Key, hash_of, id_of, written


def test_a_key_is_made_by_chance_and_known_by_its_hash() -> None:
    """The record says which text it is of, and has nothing of the text."""
    key_id, text = written(secrets.choice)
    assert text.startswith(f"fbk_{key_id}_")
    assert len(text) == 58
    assert id_of(text) == key_id
    key = Key(hash=hash_of(text), sites=("a.example",), scope="read", name="Grafana", made=5)
    assert key.is_of(text)
    assert not key.is_of(text[:-1])
    assert not NOBODY.is_of(text)
    assert text.rpartition("_")[2] not in key.encode().decode()
    assert Key.decode(key.encode()) == key
    assert written(secrets.choice)[1] != text


@pytest.mark.parametrize(
    "text", ["", "fbk_", "fbk_0123456789_", "fbk_0123456789_" + "x" * 42, "FBK_0123456789_" + "x" * 43,
             "fbk_0123456789_" + "x" * 44, "fbk_012345678:_" + "x" * 43, "fbk_0123456789_" + "ß" * 43, "\ud800"],
)  # fmt: skip
def test_what_can_be_no_key_has_no_id(text: str) -> None:
    """So nobody looks for it."""
    assert id_of(text) is None
    assert not NOBODY.is_of(text)


def test_a_key_is_of_its_sites_and_its_scope() -> None:
    """A star is every site."""
    key = Key(hash="", sites=("a.example",), scope="read")
    assert key.allows("a.example", "read")
    assert not key.allows("b.example", "read")
    assert not key.allows("a.example", "write")
    assert Key(hash="", sites=("*",), scope="read").allows("b.example", "read")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"hash": "x", "sites": ["a"], "scope": "all"}',
        b'{"hash": "x", "sites": ["a"], "scope": "read", "rate": 0}',
    ],
)
def test_what_is_no_record_is_refused(text: bytes) -> None:
    """Whoever reads it hears ValueError."""
    with pytest.raises(ValueError, match=r"\w"):
        Key.decode(text)
