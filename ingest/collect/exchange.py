"""A request on its way to its answer, and what is known of who sent it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ingest.agents.agent import Agent
from ingest.batch import row_bytes
from ingest.dialects.contract import Decoded, Dialect, Fork, Limited
from ingest.dialects.cors import Pairs
from ingest.dialects.pieces import Pieces
from ingest.dialects.request import Head
from ingest.fates import Shed
from ingest.geography.where import Where
from runtime.client_ip import Client
from schemas.keys import Key


class Sender(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Holds what the server knows of who sent a request.

    It follows from the request's head, its peer and the settings, and from nothing that ends: the fast lane remembers
    it with the head (ingest/http/heads.py). So a salt, a visitor or a site has no place here.
    """

    client: Client
    traits: bytes  # by what it is distinguished (visitor.traits_of)
    agent: Agent
    where: Where
    is_signalled: bool  # it sent Sec-GPC or DNT
    cors: Pairs


Dialects = Mapping[str, Dialect | Fork]  # by method


class Route(msgspec.Struct, frozen=True, gc=False):
    """Holds the dialects of a path by method."""

    dialects: Dialects
    body_bytes_max: int  # of the dialect that allows most


class Asked(msgspec.Struct, gc=False):
    """Holds the head of a request for a collecting route. `sender` is None where it was not found yet."""

    head: Head
    route: Route
    dialect: Dialect | Fork | None  # None if the path does not know the method
    sender: Sender | None = None
    is_known: bool = False  # a lane remembers it, so its sender comes again


class Reply(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Holds an answer as it is sent. `route` is how metrics name it, from a closed set.

    Two are never equal, so that a lane can know one again without looking at its headers.
    """

    status: int
    headers: Pairs
    body: bytes
    route: str


class Lane(Protocol):
    """Describes what brought a request, and takes its answer back."""

    def hold(self, exchange: Exchange, size: int) -> bool:
        """Holds so many bytes of the budget for it; returns False, and changes nothing, if there is no room."""
        ...

    def settled(self, exchange: Exchange, shed: Shed | None) -> None:
        """Sends `exchange.reply`, or says why its rows could not be made durable."""
        ...


NO_REPLY = Reply(0, (), b"", "")


class Exchange(msgspec.Struct, gc=False, eq=False):
    """Holds a request from its end to its answer."""

    lane: Lane
    asked: Asked
    body: bytes
    peer: str
    received_ms: int
    began: float  # by perf_counter
    held: int  # bytes of the budget
    weight: int
    key: Key | None = None  # the server key that it came with
    dialect: Dialect | None = None  # its own one, once it is decoded: a Fork chooses for each request
    decoded: Decoded | None = None
    limited: Limited | None = None  # by which limit some of its events were refused
    reading: Pieces[Decoded] | None = None  # what is left to decode, of a large request
    # Of a large request, what the limits of each site and client said to its first piece: it counts for the others too.
    verdicts: dict[tuple[str, int], Limited | None] | None = None
    reply: Reply = NO_REPLY  # what is sent once its rows are durable
    rows: int = 0  # that it has, once it is collected
    due: float = 0.0
    shards_left: int = 0

    def settled(self, shed: Shed | None) -> None:
        """Hands the answer to the lane that brought it: None if the rows are durable, else why they are not."""
        self.lane.settled(self, shed)


def weight_of(body: bytes) -> int:
    """Returns about how many bytes the row of a body takes; a body with many counts as one until it is collected."""
    return row_bytes(1, len(body))
