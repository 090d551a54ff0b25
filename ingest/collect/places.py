"""Finds where a client's events of one site go: to which site, under which visitor, to which shard.

To hash a visitor costs half a microsecond, and finding a place three. So the places of senders whose
heads are known again (ingest/http/heads.py) are remembered. They hold what ends: a visitor is a
number under the salt of its site's local day, and a site can be removed. So each is remembered with the
two moments between which it is right, which are a midnight of its site, half an hour after one, or the
next. All of them are forgotten at once when a salt ends or changes, when the sites change, and after
FORGET_SECONDS in any case, because a sender holds an address: it may stay here for five minutes longer
than its head.

Not promised: that a place is remembered. A crowd whose heads all differ is hashed event by event.
"""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from ingest.collect.exchange import Exchange, Sender
from ingest.collect.limiter import Limiter
from ingest.collect.sites import Site, Sites
from ingest.collect.visitor import (
    SaltMissing,
    Visitors,
    anonymous_client,
    client_of,
    hashed,
    limited_client,
    owned_client,
    owned_session,
    shard_of,
)
from ingest.fates import Reason

PLACES_MAX = 8_192  # 300 bytes each, beside what the heads hold
FORGET_SECONDS = 290  # with a head's own age, less than 15 minutes after its sender was seen


class Place(NamedTuple):
    """Holds where a client's events of one site go."""

    site: Site
    name: str
    url_flags: int
    visitor_id: int
    visitor_before: int
    shard: int
    is_anonymous: bool
    day_ms: int  # when the visitor's local day began, while it has a `visitor_before`; else 0
    limited_as: int = 0  # a hash of site and address, where the site has a limit for each client; else 0


NOWHERE = Place(Site("", 0, "count"), "", 0, 0, 0, 0, False, 0)  # of an event that is rejected
# A place, or why there is none, and the moments (unix ms) from which and up to which it is right.
Found = tuple[Place | Reason, int, int]
ALWAYS = (0, 1 << 63)  # of a visitor whom an SDK numbers, for whom no salt is needed, and of what is left out


class Places:
    """Finds places, and remembers some."""

    def __init__(
        self, *, sites: Sites, visitors: Visitors, shards: int, shard_key: int, limiter: Limiter | None = None
    ) -> None:
        self.sites = sites
        self.limiter = Limiter() if limiter is None else limiter
        self._visitors = visitors
        self._salts = visitors.salts
        self._shards = shards
        self._shard_key = shard_key
        self._known: dict[tuple[Sender, str], Found] = {}
        self._since = monotonic()
        self._salts.ended += [self.forget, self.limiter.forget_clients]
        sites.changed.append(self.forget)

    def of(self, owner: Exchange, name: str, owned: str | None) -> Place | Reason:
        """Returns the place of an event of this request, or why its site does not take it. Raises SaltMissing.

        `name` names the site; `owned` is the visitor's number where an SDK gave one.
        """
        sender = owner.asked.sender
        assert sender is not None  # the collector found it before the first step
        received_ms = owner.received_ms
        if owned is not None or not owner.asked.is_known:
            found = self._found(sender, received_ms, name, owned)
            return found if isinstance(found, Reason) else found[0]
        key = (sender, name)
        known = self._known.get(key)
        if known is not None:
            place, from_ms, upto_ms = known
            if from_ms <= received_ms < upto_ms:
                return place
        found = self._found(sender, received_ms, name, None)
        if isinstance(found, Reason):
            return found
        if len(self._known) >= PLACES_MAX:
            self._known.clear()
        self._known[key] = found
        return found[0]

    def with_key(self, owner: Exchange, name: str, owned: str | None, sender: Sender) -> Place | Reason:
        """Returns the place of an event that came with a server key, and of which `sender` is whom it names.

        A key of another site is a wrong one: to pass over what the event says of its sender would count everybody as the server.
        """
        site = self.sites.resolve(name)
        if site is not None and (owner.key is None or not owner.key.allows(site.name, "write")):
            return Reason.WRONG_KEY
        found = self._found(sender, owner.received_ms, name, owned)
        if isinstance(found, Reason) or isinstance(found[0], Reason):
            return found if isinstance(found, Reason) else found[0]
        return found[0]._replace(limited_as=0)  # a server sends for many, so only the site's limit counts

    def limit_number(self, key: str | int) -> int:
        """Returns what the workers call a bucket among themselves: a hash of its site, or the number of its client."""
        return key if isinstance(key, int) else self._visitors.owned(limited_client(key, ""))

    def session_id(self, place: Place, session: str, start_ms: int) -> int:
        """Returns the id of a session that an SDK numbers: when it began in unix s, and a hash (flusher/blocks/sessions.py)."""
        number = self._visitors.owned(owned_session(place.name, session))
        return (start_ms // 1_000) << 32 | number & 0xFFFF_FFFF

    def forget(self) -> None:
        """Forgets all places."""
        self._known.clear()
        self._since = monotonic()

    def tick(self) -> None:
        """Forgets what is too old, and what a salt that is over was used for. Call it each second."""
        self._salts.tick()
        if monotonic() - self._since >= FORGET_SECONDS:
            self.forget()

    def _found(self, sender: Sender, received_ms: int, name: str, owned: str | None) -> Found | Reason:
        site = self.sites.resolve(name)
        if site is None:
            return Reason.UNKNOWN_SITE
        is_anonymous = sender.is_signalled and site.privacy != "count"
        if is_anonymous and site.privacy == "drop":
            return Reason.PRIVACY
        if site.senders is not None and site.senders.exclude(sender):
            return Reason.EXCLUDED, *ALWAYS  # remembered as a place is: the sites forget it when a rule changes
        if owned is not None and not is_anonymous:
            client = owned_client(site.name, owned)
            now, before = self._visitors.owned(client), 0
            from_ms, upto_ms = ALWAYS
        else:
            client = anonymous_client(site.name) if is_anonymous else client_of(site.name, sender.traits)
            salted = self._salts.at(site.calendar, received_ms)
            now, before = self._visitors.of(client, salted)
            _, _, from_ms, upto_ms = salted
        shard = shard_of(client, self._shard_key, self._shards)
        day_ms = from_ms if before else 0
        place = Place(
            site, site.name, site.url_flags, now, before, shard, is_anonymous, day_ms, self._limited_as(site, sender, received_ms)
        )  # fmt: skip
        return place, from_ms, upto_ms

    def _limited_as(self, site: Site, sender: Sender, received_ms: int) -> int:
        """Returns what a client is known by while its events are counted: nothing that is longer than its day or says its address."""
        address = sender.client.address.hashed
        if site.client_limit is None or not address:
            return 0
        try:
            salted = self._salts.at(site.calendar, received_ms)
        except SaltMissing:  # it was needed for nothing else
            return 0
        return hashed(limited_client(site.name, address), salted.today)
