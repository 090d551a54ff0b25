"""Lets whoever asks from this machine look at everything, as a dashboard does that has no user and no public URL."""

from __future__ import annotations

from dashboard.access.parts import Access
from dashboard.metrics import Metrics
from dashboard.sites.keys import Keys
from dashboard.sites.records import Sites
from dashboard.web.pages import Pages
from runtime.notify.notifier import Notifier
from runtime.redis import Redis
from schemas.settings import DashboardSettings


def local_access(redis: Redis, sites: Sites, metrics: Metrics) -> Access:
    """Returns what says who looks, by the settings that are usual."""
    notifier = Notifier(mail=None, webhook=None, count=metrics)
    return Access(
        DashboardSettings(),
        redis,
        keys=Keys(redis, sites),
        sites=sites,
        index=Pages().index,
        metrics=metrics,
        notifier=notifier,
    )
