"""Answers probes: whether the process lives, whether ClickHouse answers it, and the metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dashboard.catalogue.contract import Unanswered
from dashboard.metrics import Metrics


class Probes:
    """Answers /healthz, /readyz and /metrics. `ping` raises Unanswered if ClickHouse does not answer."""

    def __init__(self, *, metrics: Metrics, ping: Callable[[], Awaitable[None]]) -> None:
        self._metrics = metrics
        self._ping = ping

    def add_to(self, app: web.Application) -> None:
        """Adds the routes."""
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._exposition)

    async def _healthz(self, request: web.Request) -> web.Response:
        """Says that the process lives; with `?clickhouse` the same as /readyz, for the page that waits for ClickHouse."""
        return await self._readyz(request) if "clickhouse" in request.query else web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        try:
            await self._ping()
        except Unanswered as error:
            return web.Response(status=503, text=f"{error}\n")
        return web.Response(text="ready\n")

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
