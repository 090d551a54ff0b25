"""schemas/users.py: names, grants and passwords of users."""

from __future__ import annotations

import secrets

import pytest

from schemas.users import (
    NAME_FORM,
    PASSWORD_CHARS_MAX,
    Role,
    User,
    is_user_name,
    new_id,
    password_fault,
    role_on,
    user_name,
)


@pytest.mark.parametrize(
    ("grants", "role"),
    [
        ({}, None),
        ({"a.example": "viewer"}, "viewer"),
        ({"b.example": "admin"}, None),
        ({"*": "viewer"}, "viewer"),
        ({"*": "viewer", "a.example": "admin"}, "admin"),
        ({"*": "admin", "a.example": "viewer"}, "admin"),
    ],
)
def test_the_higher_of_two_roles_holds(grants: dict[str, Role], role: Role | None) -> None:
    """Of a site, and of every site."""
    assert role_on(grants, "a.example") == role


@pytest.mark.parametrize("said", ["ann", " Ann ", "ann@example.com", "a", "a.b-c_d+e@f", "9", "a" * 64])
def test_a_name_is_a_word(said: str) -> None:
    """In lower case, without blanks around it."""
    assert is_user_name(user_name(said)), NAME_FORM


@pytest.mark.parametrize(
    "said", ["", " ", "ann b", "ann:b", "-ann", "ann-", "\u00e4nn", "a" * 65, "ann\n", "ann\0", "a/b"]
)
def test_what_is_no_name(said: str) -> None:
    """It would be two words, a part of a key, or something that looks like another name."""
    assert not is_user_name(user_name(said) if said.strip() == said else said)


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 30, "abababababab", "ann@example.com", "Ann@Example.com", "x1!" * 100]
)
def test_a_password_that_can_be_guessed_is_refused(password: str) -> None:
    """Too short, too long, of a few characters, or the name."""
    assert password_fault("ann@example.com", password).endswith(".")


@pytest.mark.parametrize(
    "password", ["correct horse battery", "pass word of twelve", "\u00e4" * 2 + "bcdefghijk", "abcde" * 51]
)
def test_any_other_password_will_do(password: str) -> None:
    """Whatever its characters are."""
    assert len(password) <= PASSWORD_CHARS_MAX
    assert password_fault("ann", password) == ""


def test_a_record_is_read_as_it_was_written() -> None:
    """And what is none raises."""
    user = User(
        id=new_id(secrets.choice), stamp="s", password="p", grants={"*": "admin"}, email="a@example.org", made=1
    )
    assert User.decode(user.encode()) == user
    for value in (b"", b"{}", b"[]", b'{"id": 1}', user.encode().replace(b"admin", b"root")):
        with pytest.raises(ValueError, match=r".+"):
            User.decode(value)
