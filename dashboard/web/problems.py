"""Writes answers in JSON, and errors as `{"error": SENTENCE}`."""

from __future__ import annotations

import msgspec
from aiohttp import web


def answered(said: object) -> web.Response:
    """Returns an answer in JSON."""
    return web.Response(body=msgspec.json.encode(said), content_type="application/json")


def problem(status: int, sentence: str, **headers: str) -> web.Response:
    """Returns an answer that says in one sentence what is wrong."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": sentence}, status=status, headers=named)
