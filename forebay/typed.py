"""Reads a password that somebody types at the terminal, or that stands in stdin. It never stands in a command."""

from __future__ import annotations

import getpass
import sys

from schemas.users import password_fault


class Unfit(ValueError):
    """Says why what was said can't be used."""


def typed_password(whose: str, *, user: str = "") -> str:
    """Returns a password: what somebody types twice, or the first line of stdin. Raises Unfit. `user` is a name that it can't be."""
    if sys.stdin.isatty():
        said = getpass.getpass(f"Password for {whose}: ")
        if said != getpass.getpass("Once more: "):
            raise Unfit("the two passwords differ")
    else:
        said = sys.stdin.readline().rstrip("\r\n")
    if fault := password_fault(user, said):
        raise Unfit(fault)
    return said
