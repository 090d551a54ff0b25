"""Leads a client to an old primary first, as one that had connected before its successor was promoted."""

from __future__ import annotations

from runtime.nodes.layout import Layout
from runtime.nodes.routes import Routes
from schemas.redis.address import Address, Node
from tests.support.redis_cluster import Server

SENTINEL = "redis+sentinel://127.0.0.1:1/mymaster"  # is never asked


class Following(Routes):
    """Leads to an old primary until that is in doubt, and then to its successor."""

    def __init__(self, old: Server, new: Server) -> None:
        super().__init__(Address.parse(SENTINEL), seconds=5)
        self.layout, self.is_old = Layout.of_master(Node("127.0.0.1", old.port), ()), False
        self._new = new

    def _ask(self) -> Layout:
        return Layout.of_master(Node("127.0.0.1", self._new.port), ())
