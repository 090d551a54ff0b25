"""Names, sets and removes the cookies of the dashboard.

Under a `dashboard_url` of https they are `Secure`, and their names begin with `__Host-`: no other host can set one, and no connection that
can be read carries one. Else, on loopback, nothing leaves this machine, and browsers would not keep them.
"""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from schemas.redis.keys import DEVICE_SECONDS, SESSION_SECONDS

Name = Literal["session", "device"]
SECONDS: dict[Name, int] = {"session": SESSION_SECONDS, "device": DEVICE_SECONDS}


class Cookies:
    """Reads and sets cookies."""

    def __init__(self, *, is_secure: bool) -> None:
        self._is_secure = is_secure

    def name(self, name: Name) -> str:
        """Returns what a cookie is called in the browser."""
        return f"{'__Host-' if self._is_secure else ''}forebay-{name}"

    def get(self, request: web.Request, name: Name) -> str:
        """Returns what a browser sent; "" without the cookie."""
        return request.cookies.get(self.name(name), "")

    def set(self, response: web.Response, name: Name, text: str) -> None:
        """Lets the browser keep a cookie."""
        self._put(response, name, text, SECONDS[name])

    def remove(self, response: web.Response, name: Name) -> None:
        """Lets the browser forget a cookie."""
        self._put(response, name, "", 0)

    def _put(self, response: web.Response, name: Name, text: str, seconds: int) -> None:
        response.set_cookie(
            self.name(name), text, max_age=seconds, path="/", secure=self._is_secure, httponly=True, samesite="Lax"
        )
