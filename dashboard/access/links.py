"""Keeps public links in Redis, and opens them for browsers.

A browser that has opened `/shared/TOKEN` gets a cookie for that link alone, which the page's requests carry together with `?link=ID`. So the
token stands in one address, the one that people have, and a link shows the same whether or not its reader has logged in. The record is
looked up for each request, so a revoked link ends at once; the cookie names the token and the password that it was given for.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from aiohttp import web

from dashboard.access.cookies import Cookies
from dashboard.access.signing import Signing, hash_of, redis_errors
from dashboard.catalogue.contract import Refused
from runtime import redis
from schemas.links import LINKS_MAX, Link, fault_of, id_of, is_link_id, written
from schemas.links import hash_of as token_hash
from schemas.redis.keys import LINKS_KEY

PURPOSE = "link"
NOBODYS = Link(hash="0" * 64, site="")  # compared with where an ID is unknown
_log = logging.getLogger("dashboard.access")


class Links:
    """Keeps links. Every method that asks Redis raises Away while it does not answer."""

    def __init__(self, client: redis.Redis, signing: Signing, cookies: Cookies) -> None:
        self._redis = client
        self._signing = signing
        self._cookies = cookies

    async def of_token(self, token: str) -> tuple[str, Link] | None:
        """Returns the ID and the record of a token; None if there is none, or no longer."""
        link_id = id_of(token)
        found = await self._get(link_id or "")
        is_right = (found or NOBODYS).is_of(token)
        return (link_id, found) if link_id and found and is_right else None

    async def opened(self, request: web.Request, link_id: str) -> Link | None:
        """Returns the link of an ID that this browser has opened."""
        found = await self._get(link_id) if is_link_id(link_id) else None
        return found if found is not None and self.has_opened(request, link_id, found) else None

    def has_opened(self, request: web.Request, link_id: str, link: Link) -> bool:
        """Tells whether this browser has a cookie for a link. Call `Signing.read` first."""
        said = self._cookies.link(request, link_id)
        return bool(said) and self._signing.is_signature(PURPOSE, _stamp(link_id, link), said)

    def open(self, response: web.Response, link_id: str, link: Link) -> None:
        """Lets the browser keep a cookie for a link."""
        self._cookies.set_link(response, link_id, self._signing.signature(PURPOSE, _stamp(link_id, link)))

    async def add(self, link: Link) -> tuple[str, str]:
        """Keeps a new link, and returns its ID and its token. Raises Refused for one that there can't be."""
        if fault := fault_of(link):
            raise Refused(fault)
        link_id, token = written(secrets.choice)
        kept = Link.decode(link.encode().replace(b'"hash":""', f'"hash":"{token_hash(token)}"'.encode(), 1))
        async with redis_errors():
            count: Any = self._redis.hlen(LINKS_KEY)
            if await count >= LINKS_MAX:
                raise Refused(f"There are {LINKS_MAX:,} links: take one back first.")
            setting: Any = self._redis.hset(LINKS_KEY, link_id, kept.encode())
            await setting
        return link_id, token

    async def of_site(self, site: str) -> list[tuple[str, Link]]:
        """Returns the links of a site with their IDs, the newest first."""
        async with redis_errors():
            reading: Any = self._redis.hgetall(LINKS_KEY)
            found = await reading
        records = [(link_id.decode(), _decoded(value)) for link_id, value in found.items()]
        mine = [(link_id, one) for link_id, one in records if one is not None and one.site == site]
        return sorted(mine, key=lambda one: (-one[1].made, one[0]))

    async def revoke(self, site: str, link_id: str) -> bool:
        """Removes a link of a site. Tells whether there was one."""
        found = await self._get(link_id)
        if found is None or found.site != site:
            return False
        async with redis_errors():
            removing: Any = self._redis.hdel(LINKS_KEY, link_id)
            return bool(await removing)

    async def _get(self, link_id: str) -> Link | None:
        async with redis_errors():
            reading: Any = self._redis.hget(LINKS_KEY, link_id)
            value = await reading
        return _decoded(value) if value is not None else None


def _stamp(link_id: str, link: Link) -> str:
    """Returns what a cookie is signed for: another token or password is another one."""
    return f"{link_id}\0{hash_of(link.hash + link.password)}"


def _decoded(value: bytes) -> Link | None:
    try:
        return Link.decode(value)
    except (ValueError, RecursionError):
        _log.warning("the record of a public link can't be read: `forebay share list` names it")
        return None
