"""Gives the events of a request with a server key the sender that they name: by address, by user agent, or by both.

A server sends the events of its visitors. So an event's `ip` is hashed and looked up in place of the request's own address, and
`user_agent` is parsed in place of the request's own header. An event that names neither has the request's sender. An `ip` that is
not an address rejects its event: otherwise all visitors whose address was lost on the way would be counted as one.

Not promised: that what a server says is true.
"""

from __future__ import annotations

from collections.abc import Mapping

from ingest.agents.agent import Agents
from ingest.collect.events import Events
from ingest.collect.exchange import Sender
from ingest.collect.geolocation import Geolocation
from ingest.collect.places import Places
from ingest.collect.visitor import traits_of, user_agent_in
from ingest.fates import Reason
from runtime.client_ip import Client, parsed

ADDRESS_CHARS_MAX = 64  # what is parsed is remembered, so it must not be long
USER_AGENT_BYTES_MAX = 1_024  # the rest is neither hashed nor parsed
AGE_MS_MAX = 5 * 366 * 86_400_000  # of an event with a server key: a block of them has a part for each of 61 months
NO_HEADERS: Mapping[bytes, bytes] = {}  # a server names an address, and no header that says where it is


class NamedSenders:
    """Makes a sender for each address and user agent that a server names."""

    def __init__(self, agents: Agents, geolocation: Geolocation) -> None:
        self._agents = agents
        self._geolocation = geolocation

    def named(self, events: Events, _: Places) -> None:
        """Fills `events.sender` with the senders that the events name; the first step of events with a server key."""
        made: dict[tuple[Sender, str | None, str | None], Sender | None] = {}
        found: list[Sender] = []
        named = zip(events.sender, events.said.ip, events.said.user_agent, strict=True)
        for at, (own, ip, user_agent) in enumerate(named):
            key = (own, ip or None, user_agent or None)
            if key not in made:
                made[key] = self._made(*key)
            sender = made[key]
            if sender is None:
                events.reject((at,), Reason.INVALID_FIELD)
            found.append(sender or own)
        events.sender = found

    def _made(self, own: Sender, ip: str | None, user_agent: str | None) -> Sender | None:
        """Returns the sender with this address and user agent, each taken from `own` if it is None; None if `ip` is not an address."""
        address = own.client.address if ip is None else parsed(ip) if len(ip) <= ADDRESS_CHARS_MAX else None
        if address is None:
            return None
        if ip is None and user_agent is None:
            return own
        where = own.where if ip is None else self._geolocation.of(Client(address, False), NO_HEADERS)
        agent, browser = own.agent, user_agent_in(own.traits)
        if user_agent is not None:
            browser = user_agent.encode("utf-8", "replace")[:USER_AGENT_BYTES_MAX]
            # Agents takes a browser without `accept-language` for a program, and the server does not pass that header on.
            agent = self._agents.of({b"user-agent": browser, b"accept-language": b"*"})
        traits = traits_of(address.hashed, browser)
        return Sender(Client(address, False), traits, agent, where, own.is_signalled, own.cors)
