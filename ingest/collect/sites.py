"""Knows which sites there are, and what each of them wants.

An event names its site in its field `site`, or by the host of its url. That name stands for a site
if a setting lists it, if Redis knows it as a site or as one of a site's domains (`forebay site
add`), or, with `*` in the setting, if it can be a host at all: then it is a site of its own. Names
have no case, no leading `www.` and no final dot; names in other scripts are in punycode
(schemas/host.py). A key of another family's SDK (schemas/site_keys.py) stands for the site whose record has it, and for none
otherwise, whatever the setting says.

`resolve` never waits: it reads a snapshot, which `refresh` replaces as a whole, once the salts of all its time zones are
there. While the source can't be read, the last snapshot stays. A site whose entry can't be used stays as it was, because
old settings beat none: if its JSON can't be read, or if this process does not know its time zone. Of its rules of what to
leave out, those that can't be read are passed over, and said.

Not promised: that a site measures only its own hosts. Any client may name any known site.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import tzinfo
from typing import Protocol

import msgspec

from ingest.collect.exclusions import PageRules, SenderRules, compiled
from runtime import zones
from schemas.days import UTC_DAYS, Calendar
from schemas.host import is_site_name, site_name
from schemas.limits import Limit, limit_of
from schemas.row import KEEP_FRAGMENT, KEEP_QUERY
from schemas.site import Privacy, RegisteredSite

ANY = "*"
SEEN_MAX = 10_000  # sites remembered under `*`: 3 MB of names at most
ANSWERS_MAX = 10_000

logger = logging.getLogger(__name__)


class SiteSource(Protocol):
    """Reads the registered sites."""

    async def sites(self) -> dict[str, bytes]:
        """Returns the JSON of every site by its name. Raises if the source can't be read."""
        ...


class Site(msgspec.Struct, frozen=True, gc=False):
    """Holds what a site wants; `privacy` is for the events of browsers that send Sec-GPC or DNT.

    `calendar` says when its days begin. `senders` and `pages` are its rules of what to leave out, None where it has none.
    """

    name: str
    url_flags: int
    privacy: Privacy
    calendar: Calendar = UTC_DAYS
    domains: frozenset[str] = frozenset()
    senders: SenderRules | None = None
    pages: PageRules | None = None
    revenue_needs_key: bool = False
    limit: Limit | None = None
    client_limit: Limit | None = None


class Sites:
    """Finds the site of a name."""

    def __init__(
        self,
        *,
        named: Sequence[str],
        privacy: Privacy,
        calendar: Calendar = UTC_DAYS,
        limit: Limit | None = None,
        client_limit: Limit | None = None,
        source: SiteSource | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Takes the setting `sites` as `named`, and what counts for sites that don't set their own: `privacy`, `calendar` and limits.

        `failed` is called once for each entry that can't be used.
        """
        self._privacy: Privacy = privacy
        self.calendar = calendar
        self._limits = limit, client_limit
        self._failed = failed
        # Gets the salts of these calendars ready, before sites with them count.
        self.hold: Callable[[Collection[Calendar]], Awaitable[None]] | None = None
        self._calendars: dict[tuple[object, ...], Calendar] = {(calendar.zone,): calendar}
        self._source = source
        self._takes_any = ANY in named
        self._named = {site_name(name): self._plain(site_name(name)) for name in named if name != ANY}
        self._known: dict[str, Site] = dict(self._named)
        self.have_limits = limit is not None or client_limit is not None  # any of them
        self.leave_out_pages = False  # whether any of them has rules about pages
        self._answers: dict[tuple[str, str], bool] = {}  # of `is_own`, by site and host: referrers repeat
        self._found: dict[str, bytes] = {}  # what the source said last
        self.changed: list[Callable[[], None]] = []  # called when there are other sites, or one wants something else
        self._seen: OrderedDict[str, Site] = OrderedDict()  # a dict looks at all who went before to find its first

    @property
    def calendars(self) -> set[Calendar]:
        """Returns the calendars of all sites."""
        return self._calendars_of(self._known)

    def _calendars_of(self, known: Mapping[str, Site]) -> set[Calendar]:
        return {self.calendar, *(site.calendar for site in known.values())}

    def resolve(self, name: str) -> Site | None:
        """Returns the site of a `site` field or of a host; None if it is not known."""
        site = self._known.get(name) or self._seen.get(name)
        if site is not None:
            return site
        normal = site_name(name)
        site = self._known.get(normal)
        if site is None and self._takes_any:
            site = self._seen.get(normal) or self._newly_seen(normal)
        return site

    def is_own(self, site: Site, host: str) -> bool:
        """Returns whether a host belongs to the site: as its name, one of its domains, or a subdomain of one of these.

        A subdomain that is registered as a site of its own belongs to that one: a visit from it has a source.
        """
        key = (site.name, host)
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            answer = self._answers[key] = self._is_own(site, host)
        return answer

    def _is_own(self, site: Site, host: str) -> bool:
        known = self._known.get(host)
        if known is not None:
            return known.name == site.name
        while host:
            if host == site.name or host in site.domains:
                return True
            host = host.partition(".")[2]
        return False

    async def refresh(self) -> None:
        """Takes over what the source says now. Raises what the source raises; then everything stays as it was."""
        if self._source is None:
            return
        found = await self._source.sites()
        if found == self._found:
            return
        known = self._named | self._registered(found)
        calendars = self._calendars_of(known)
        if self.hold is not None:
            await self.hold(calendars)
        self._known = known
        self.leave_out_pages = any(site.pages is not None for site in known.values())
        self.have_limits = any(limit is not None for limit in self._limits) or any(
            site.limit is not None or site.client_limit is not None for site in known.values()
        )
        self._calendars = {key: one for key, one in self._calendars.items() if one in calendars}
        self._found = found
        self._answers.clear()
        for forget in self.changed:
            forget()

    def _newly_seen(self, name: str) -> Site | None:
        if not is_site_name(name):
            return None
        if len(self._seen) >= SEEN_MAX:
            self._seen.popitem(last=False)  # the oldest: a stranger's invented names push out each other's
        site = self._seen[name] = self._plain(name)
        return site

    def _registered(self, found: Mapping[str, bytes]) -> dict[str, Site]:
        """Returns the registered sites. A site whose entry can't be used stays as it was."""
        known: dict[str, Site] = {}
        domains: dict[str, Site] = {}
        keys: dict[str, Site] = {}
        for given, text in sorted(found.items()):
            name = site_name(given)
            try:
                said = RegisteredSite.decode(text)
            except (ValueError, RecursionError):
                self._say(given, text, f"site {name}: its entry in Redis can't be read")
                known |= self._as_it_was(name)
                continue
            try:
                calendar = self._calendar_of(name, said)
            except zones.UnknownZone as error:
                self._say(given, text, f"site {name}: its entry in Redis can't be used: {error}")
                if as_it_was := self._as_it_was(name):
                    known |= as_it_was
                    continue
                calendar = self.calendar  # its events count in the wrong days, which is better than to refuse them
            wants = said.settings
            flags = KEEP_QUERY * wants.keep_query | KEEP_FRAGMENT * wants.hash_routing
            hosts = frozenset(map(site_name, said.domains))
            senders, pages, faults = compiled(said.exclusions, said.hosts, hosts | {name})
            if faults:
                self._say(given, text, f"site {name}: a rule of what it leaves out can't be used: {'; '.join(faults)}")
            privacy = wants.privacy or self._privacy
            site = Site(
                name, flags, privacy, calendar, hosts, senders, pages, wants.revenue_needs_key,
                *self._limits_of(given, text, (wants.limit, wants.client_limit)),
            )  # fmt: skip
            known[name] = site
            domains |= dict.fromkeys(hosts, site)
            for key in said.keys:
                if keys.setdefault(key, site) is not site:
                    self._say(given, text, f"site {name}: its key {key} is also one of {keys[key].name}, which has it")
        return keys | domains | known  # a site's own name comes before another's claim to it

    def _limits_of(self, given: str, text: bytes, said: Sequence[str | None]) -> list[Limit | None]:
        """Returns the limits of a registered site and of its clients. One that can't be read is that of the installation."""
        found = list(self._limits)
        for at, one in enumerate(said):
            if one is not None:
                try:
                    found[at] = limit_of(one)
                except ValueError as error:
                    self._say(given, text, f"site {site_name(given)}: a limit can't be used: {error}")
        return found

    def _as_it_was(self, name: str) -> dict[str, Site]:
        return {alias: site for alias, site in self._known.items() if site.name == name}

    def _say(self, given: str, text: bytes, what: str) -> None:
        """Warns of an entry that can't be used, and counts it, once until it is another one."""
        if self._found.get(given) != text:
            logger.warning(what)
            if self._failed is not None:
                self._failed()

    def _calendar_of(self, name: str, said: RegisteredSite) -> Calendar:
        """Returns the calendar of a registered site, the same for all that have the same days. Raises UnknownZone."""
        is_taken_unregistered = self._takes_any or name in self._named
        before = [
            (self._zone(one.zone), one.until)
            for one in said.zones_before
            if is_taken_unregistered or not one.if_unregistered
        ]
        zone = self._zone(said.settings.timezone)
        key = (zone, *before)
        calendar = self._calendars.get(key)
        if calendar is None:
            calendar = self._calendars[key] = Calendar(zone, before)
        return calendar

    def _zone(self, name: str | None) -> tzinfo:
        return self.calendar.zone if name is None else zones.load(name)

    def _plain(self, name: str) -> Site:
        limit, client_limit = self._limits
        return Site(name, 0, self._privacy, self.calendar, limit=limit, client_limit=client_limit)
