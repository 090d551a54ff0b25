"""Says who looks, and which sites that viewer may see and change.

A viewer is made once for each request (dashboard/access/entry.py). Whoever answers a request comes from the name of a site to the site by
`Viewer.site` alone. A site that a viewer may not see gets the same answer as one that does not exist, so nobody can find out which sites
there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec
from aiohttp import web

from dashboard.sites.records import SiteView
from schemas.keys import EVERY_SITE
from schemas.links import Link
from schemas.users import Role, role_on

# local: somebody on this machine, while no login is needed. machine: the same while one is needed, who may read the metrics and nothing
# else. nobody: who has not logged in. link: whoever has a public link. key: a program with a key, where metrics are read.
Kind = Literal["local", "user", "link", "key", "machine", "nobody"]


class Unknown(Exception):
    """Says in one sentence that there is nothing of the name that was given, for this viewer at least: HTTP 404."""


class Forbidden(Exception):
    """Says in one sentence that this viewer may see, and not change it: HTTP 403."""


class Sites(Protocol):
    """Knows the sites."""

    def get(self, name: str) -> SiteView | None:
        """Returns the site of a name."""


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Holds who looks. `name` is that of a user, or the id of a link. `session` is the hash of what the cookie has, "" without one.

    `link` is the public link by which somebody looks (dashboard/web/reach.py).
    """

    kind: Kind
    grants: Mapping[str, Role] = {}
    name: str = ""
    user_id: str = ""
    session: str = ""
    link: Link | None = None

    def reads(self, site: str) -> bool:
        """Tells whether the viewer may see the numbers of a site, by its name as SiteView has it."""
        return role_on(self.grants, site) is not None

    @property
    def reads_every_site(self) -> bool:
        """Tells whether the viewer may see what concerns all sites."""
        return EVERY_SITE in self.grants

    def changes(self, site: str) -> bool:
        """Tells whether the viewer may change what is kept of a site."""
        return role_on(self.grants, site) == "admin"

    @property
    def is_admin(self) -> bool:
        """Tells whether the viewer may do what concerns all sites: users, and who may do what."""
        return self.grants.get(EVERY_SITE) == "admin"

    def site(self, sites: Sites, name: str) -> SiteView:
        """Returns a site that the viewer may see. Raises Unknown."""
        site = sites.get(name)
        if site is None or not self.reads(site.name):
            raise Unknown(f"There is no site '{name[:100]}': `forebay site add` adds one.")
        return site

    def changeable(self, sites: Sites, name: str) -> SiteView:
        """Returns a site that the viewer may change. Raises Unknown and Forbidden."""
        site = self.site(sites, name)
        if not self.changes(site.name):
            raise Forbidden(f"Only an admin of {site.name} may change this.")
        return site


LOCAL = Viewer(kind="local", grants={EVERY_SITE: "admin"})
MACHINE = Viewer(kind="machine")
NOBODY = Viewer(kind="nobody")
_VIEWER = web.RequestKey("viewer", Viewer)


def viewer_of(request: web.Request) -> Viewer:
    """Returns who looks. A request that went around the middleware has nobody."""
    found: Viewer = request.get(_VIEWER, NOBODY)
    return found


def admit(request: web.Request, viewer: Viewer) -> None:
    """Notes who looks, for those who answer the request."""
    request[_VIEWER] = viewer
