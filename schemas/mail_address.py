"""Gives a mail address the one form in which Forebay stores it, and refuses what could become something else in a mail.

An address goes into a header and into a command of SMTP, so nothing may be in it that ends a line, an address or a list.
The part before the `@` is ASCII, which every mail server takes; a domain in another script becomes punycode.

Not promised: that somebody reads what is sent there.
"""

from __future__ import annotations

import re

from schemas.host import in_ascii, is_word

LOCAL_CHARS_MAX, CHARS_MAX = 64, 254  # RFC 5321; an address has 256 with its angle brackets
_local = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.IGNORECASE | re.ASCII
).fullmatch


def mail_address(said: str) -> str:
    """Returns an address as it is stored: its domain in lower case. Raises ValueError, whose text shows 64 characters of it."""
    local, _, domain = said.strip().rpartition("@")
    host = in_ascii(domain).lower()
    if not _local(local) or len(local) > LOCAL_CHARS_MAX or not is_word(host) or len(local) + len(host) >= CHARS_MAX:
        raise ValueError(f"{said[:64]!r} is no mail address: write one like ann@example.org")
    return f"{local}@{host}"
