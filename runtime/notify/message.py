"""Describes what people are told, and how it may fail to reach them.

Texts may hold what strangers sent (a path, a source, the name of a site), so a message cleans them when it is made: its
subject is one line, and nothing in it is a control character. So no stranger can add a header to a mail.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import force_setattr

SUBJECT_CHARS_MAX = 160
TEXT_CHARS_MAX = 60_000
HTML_CHARS_MAX = 200_000
# Control characters, what ends a line to some programs, marks that turn the direction of a text, and halves of characters.
_unseen = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

Kind = Literal["report", "spike", "drop", "login"]  # a closed set, because metrics are labelled with it
# Why an attempt failed, for the same reason. What each means is in docs/operations.md#messages-to-people.
Reason = Literal[
    "unreachable", "timeout", "tls", "login", "busy", "refused", "unsupported", "full", "stopped", "nowhere", "fault"
]  # fmt: skip


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what people are told. `facts` are its numbers, for programs; `html` says the same as `text`.

    Two messages with the same `id` say the same thing: whoever gets both may drop one. `at` is a unix second.
    """

    kind: Kind
    subject: str
    text: str
    site: str = ""
    html: str = ""
    facts: Mapping[str, Any] = msgspec.field(default_factory=dict)
    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(16))
    at: int = msgspec.field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        force_setattr(self, "subject", one_line(self.subject)[:SUBJECT_CHARS_MAX])
        force_setattr(self, "site", one_line(self.site)[:SUBJECT_CHARS_MAX])
        force_setattr(self, "text", cleaned(self.text)[:TEXT_CHARS_MAX])
        if len(self.html) > HTML_CHARS_MAX:  # half a page is no page
            force_setattr(self, "html", "")
        force_setattr(self, "html", cleaned(self.html))
        if not re.fullmatch(r"[\w-]{1,64}", self.id, re.ASCII):
            raise ValueError("the id of a message has letters, digits, - and _ alone")


class Undelivered(Exception):
    """Reports that an attempt failed. `is_final` says that another one would fail too.

    Its text is for the log: it has no secret in it, and at most a line of what the other side said.
    """

    def __init__(self, reason: Reason, text: str, *, is_final: bool = False, seconds: float = 0.0) -> None:
        super().__init__(text)
        self.reason = reason
        self.is_final = is_final
        self.seconds = seconds  # that the other side wants us to wait


def cleaned(text: str) -> str:
    """Returns a text without characters that can't be seen, with lines that end in one way."""
    return _unseen.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """Returns a text in one line, with single blanks."""
    return " ".join(cleaned(text).split())
