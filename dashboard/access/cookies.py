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
        return self._called(name)

    def get(self, request: web.Request, name: Name) -> str:
        """Returns what a browser sent; "" without the cookie."""
        return request.cookies.get(self.name(name), "")

    def set(self, response: web.Response, name: Name, text: str) -> None:
        """Lets the browser keep a cookie."""
        self._put(response, self.name(name), text, SECONDS[name])

    def link(self, request: web.Request, link_id: str) -> str:
        """Returns what a browser sent for a public link; "" without its cookie."""
        return request.cookies.get(self._name_of_link(link_id), "")

    def set_link(self, response: web.Response, link_id: str, text: str) -> None:
        """Lets the browser keep the cookie of a public link, as long as a session."""
        self._put(response, self._name_of_link(link_id), text, SESSION_SECONDS)

    def remove(self, response: web.Response, name: Name) -> None:
        """Lets the browser forget a cookie."""
        self._put(response, self.name(name), "", 0)

    def _name_of_link(self, link_id: str) -> str:
        return self._called(f"link-{link_id}")

    def _called(self, name: str) -> str:
        return f"{'__Host-' if self._is_secure else ''}forebay-{name}"

    def _put(self, response: web.Response, name: str, text: str, seconds: int) -> None:
        response.set_cookie(
            name, text, max_age=seconds, path="/", secure=self._is_secure, httponly=True, samesite="Lax"
        )
