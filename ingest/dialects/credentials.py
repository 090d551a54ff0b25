"""Reads what a client gives for a server key: in `Authorization` as Bearer or Basic. The collector checks it.

Text that is not valid there is no credential: SDKs send `Bearer None`, and a site's public key as the name of Basic.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from ingest.dialects.request import Head
from schemas.keys import PREFIX

CHARS_MAX = 1_024


class Basic(NamedTuple):
    """Holds the name and the password of Basic; both are empty where there is none."""

    user: str
    password: str


NOBODY = Basic("", "")


def bearer(head: Head) -> str:
    """Returns the token of `Authorization: Bearer`, or ""."""
    scheme, _, token = head.fields.get(b"authorization", b"")[:CHARS_MAX].strip().partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def basic(head: Head) -> Basic:
    """Returns the name and the password of `Authorization: Basic`."""
    scheme, _, coded = head.fields.get(b"authorization", b"")[:CHARS_MAX].strip().partition(b" ")
    if scheme.lower() != b"basic":
        return NOBODY
    try:
        said = base64.b64decode(coded.strip(), validate=True).decode("utf-8", "replace")
    except (ValueError, binascii.Error):
        return NOBODY
    user, _, password = said.replace("\0", "\ufffd").partition(":")
    return Basic(user, password)


def server_key(*said: str) -> str:
    """Returns the first of several texts that is written as a server key is, or ""."""
    return next((one for one in said if one.startswith(PREFIX)), "")
