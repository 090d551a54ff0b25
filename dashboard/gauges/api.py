"""Answers `GET /metrics/sites`: the numbers of sites as gauges of Prometheus. It is off unless the setting `site_metrics_max` says otherwise.

It is no part of `/metrics`, because numbers of sites are for fewer people than those of processes: whoever asks gets the sites that are granted to the key, or to the user.

    forebay_site_visitors_today{site}          people of the site's local day so far
    forebay_site_live_visitors{site}           people who looked at a page in the last five minutes
    forebay_site_pageviews_today{site}         their pageviews
    forebay_site_bot_share_today{site}         the part of all pageviews that programs made, 0 to 1
    forebay_site_revenue_today{site,currency}  money, in units of the currency
    forebay_site_vital_p75_today{site,vital}   what three quarters of the measurements do not exceed: ms, and cls
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dashboard.access.viewer import Viewer, viewer_of
from dashboard.catalogue.contract import Unanswered
from dashboard.gauges.numbers import Numbers, SiteNumbers, left_out

PATH = "/metrics/sites"
PREFIX = "forebay_site_"
# Name, what it is, its label beside the site, and its values by that label ("" where there is none).
GAUGES = (
    ("visitors_today", "People of the site's local day so far", "", lambda one: {"": one.visitors}),
    ("live_visitors", "People who looked at a page in the last five minutes", "", lambda one: {"": one.live}),
    ("pageviews_today", "Pageviews of people, of the site's local day so far", "", lambda one: {"": one.pageviews}),
    (
        "bot_share_today",
        "Part of the day's pageviews that programs made, 0 to 1",
        "",
        lambda one: {} if one.bot_share is None else {"": one.bot_share},
    ),
    ("revenue_today", "Money of the site's local day so far", "currency", lambda one: one.revenue),
    (
        "vital_p75_today",
        "What three quarters of the day's measurements do not exceed: ms, and cls",
        "vital",
        lambda one: one.vitals,
    ),
    ("refreshed_timestamp_seconds", "When these numbers were asked for", "", lambda one: {"": one.refreshed}),
)


class Shown(Collector):
    """Shows numbers of sites to the client library."""

    def __init__(self, numbers: SiteNumbers, viewer: Viewer) -> None:
        """Takes who asks. Whoever may see every site is also told what is left out."""
        self._numbers = numbers
        self._viewer = viewer

    def collect(self) -> Iterator[Metric]:
        """Returns the families."""
        of_site = self._numbers.of_site
        shown = {name: one for name, one in of_site.items() if self._viewer.reads(name)}
        yield from _families(shown)
        if self._viewer.reads_every_site:
            out = GaugeMetricFamily(f"{PREFIX}left_out", "What is over the bounds, and has no gauge", labels=["what"])
            out.add_metric(["sites"], self._numbers.sites_left_out)
            out.add_metric(["currencies"], left_out(of_site.values()))
            yield out
            text = "Times that the numbers of a site could not be asked for"
            yield CounterMetricFamily(f"{PREFIX}refresh_failed", text, value=self._numbers.failures)


def _families(shown: Mapping[str, Numbers]) -> Iterator[Metric]:
    for name, text, label, values in GAUGES:
        family = GaugeMetricFamily(f"{PREFIX}{name}", text, labels=["site", label] if label else ["site"])
        for site, numbers in shown.items():
            for word, value in values(numbers).items():
                family.add_metric([site, word] if label else [site], float(value))
        yield family


class SiteMetrics:
    """Has the route. `numbers` is None where the setting says that there are none."""

    def __init__(self, numbers: SiteNumbers | None) -> None:
        self._numbers = numbers

    def add_to(self, app: web.Application) -> None:
        """Adds the route."""
        if self._numbers is not None:
            app.router.add_get(PATH, self._exposition)

    async def _exposition(self, request: web.Request) -> web.Response:
        assert self._numbers is not None
        try:
            await self._numbers.look()
        except Unanswered as error:
            return web.Response(status=error.status, text=f"{error}\n")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Shown(self._numbers, viewer_of(request)))
        return web.Response(body=generate_latest(registry), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})
