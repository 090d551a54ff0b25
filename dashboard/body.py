"""Reads the body of a request, which has a limit and has to come in time.

The dashboard has few connections. A client that says a length and sends less of it would hold one of them for as long as it likes.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

BODY_BYTES_MAX = 64 << 10
BODY_SECONDS = 20.0


async def body_of(request: web.Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Returns the body. Raises web.HTTPRequestEntityTooLarge, also for a length that is only said, and web.HTTPRequestTimeout."""
    said = request.content_length or 0
    if said > bytes_max:
        raise web.HTTPRequestEntityTooLarge(max_size=bytes_max, actual_size=said)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(reason=f"The body did not come within {BODY_SECONDS:g} s.") from error
    if len(body) > bytes_max:
        raise web.HTTPRequestEntityTooLarge(max_size=bytes_max, actual_size=len(body))
    return body
