"""Admits the one user that the embedded engine has: `default`, without a password.

Another name or a password is refused, as a server refuses a user that it does not know, because a client that sends a
password believes that it is needed. There are three ways to send them, as in ClickHouse: Basic authentication, two
headers, two parameters.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping

from forebay.embedded.clickhouse.sql import QueryFailed, failure

_WAY_OUT = (
    "The embedded ClickHouse has one user, `default`, without a password: leave user and password out, or say"
    " `default` with an empty password (user= and password=, X-ClickHouse-User and X-ClickHouse-Key, or Basic"
    " authentication). Whoever must not read it must not reach this port; the setting clickhouse_server starts a"
    " server that knows users"
)
# What clickhouse-java (0.9.8) sends if it was given no password.
_NOTHING_OF_JAVA = "null"


def authenticate(fields: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Checks that a request names no user or `default`, and no password. Raises QueryFailed (516)."""
    for user, password in _said(fields, headers):
        if user not in {"", "default"} or password:
            raise _refusal(user)


def _said(fields: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield fields.get("user", ""), fields.get("password", "")
    yield headers.get("X-ClickHouse-User", ""), headers.get("X-ClickHouse-Key", "")
    kind, _, rest = headers.get("Authorization", "").partition(" ")
    if not kind:
        return
    if kind.lower() != "basic":
        raise failure(516, f"Invalid authentication: the scheme {kind[:20]!r} is not supported. {_WAY_OUT}")
    try:
        user, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise failure(516, f"Invalid authentication: Basic needs user:password in base64. {_WAY_OUT}") from error
    yield user, "" if password == _NOTHING_OF_JAVA else password


def _refusal(user: str) -> QueryFailed:
    return failure(
        516,
        f"{user[:80] or 'default'}: Authentication failed: password is incorrect, or there is no user with such name."
        f" {_WAY_OUT}",
    )
