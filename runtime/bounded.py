"""Limits the connections that a server has open at one time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sized
from typing import Protocol

_log = logging.getLogger("runtime.bounded")


class Server(Protocol):
    """Makes a protocol for each connection, and knows those that are open."""

    @property
    def connections(self) -> Sized: ...

    def __call__(self) -> asyncio.BaseProtocol: ...


class Bounded:
    """Makes a server's connections up to a number; the next one is closed without an answer."""

    def __init__(self, server: Server, connections_max: int) -> None:
        self._server = server
        self._connections_max = connections_max

    def __call__(self) -> asyncio.BaseProtocol:
        if len(self._server.connections) < self._connections_max:
            return self._server()
        _log.warning("a connection is refused: %d are open", self._connections_max)
        return _Closing()


class _Closing(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
