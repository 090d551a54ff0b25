"""Puts together what decides who looks."""

from __future__ import annotations

from dashboard.access.alerts import Alerts
from dashboard.access.cookies import Cookies
from dashboard.access.devices import Devices
from dashboard.access.entry import Entry
from dashboard.access.forms import PATHS, Forms, read_form
from dashboard.access.guard import Door, is_public
from dashboard.access.links import Links
from dashboard.access.login import Login
from dashboard.access.sessions import Sessions
from dashboard.access.shared import SHARED, Index, Shared
from dashboard.access.signing import Signing
from dashboard.access.throttle import Throttle
from dashboard.access.users import Users
from dashboard.metrics import Metrics
from dashboard.sites.keys import Keys
from dashboard.sites.records import Sites
from runtime import redis
from runtime.client_ip import ClientAddresses
from runtime.notify.notifier import Notifier
from schemas.settings import DashboardSettings


class Access:
    """Holds the door, the entry, the forms and the public links of a dashboard. Raises ValueError for settings that can't be used."""

    def __init__(
        self,
        settings: DashboardSettings,
        store: redis.Redis,
        *,
        keys: Keys,
        sites: Sites,
        index: Index,
        metrics: Metrics,
        notifier: Notifier,
    ) -> None:
        signing, users = Signing(store), Users(store)
        sessions, devices = Sessions(store, users, signing), Devices(store, signing)
        cookies = Cookies(is_secure=settings.dashboard_url.strip().lower().startswith("https:"))
        throttle = Throttle(store, signing)
        login = Login(users=users, sessions=sessions, devices=devices, throttle=throttle, metrics=metrics)
        links = Links(store, signing, cookies)
        self.door = Door(settings.dashboard_url, PATHS | {SHARED})
        self.entry = Entry(
            users=users,
            sessions=sessions,
            signing=signing,
            cookies=cookies,
            keys=keys,
            links=links,
            metrics=metrics,
            is_public=self.door.is_public or is_public(settings.public_url),
        )
        self.forms = Forms(
            login=login,
            users=users,
            sessions=sessions,
            devices=devices,
            signing=signing,
            cookies=cookies,
            addresses=ClientAddresses(settings.trusted_proxies),
            tell=Alerts(notifier, metrics, settings.dashboard_url),
            metrics=metrics,
        )
        self.shared = Shared(
            links=links,
            sites=sites,
            login=login,
            throttle=throttle,
            signing=signing,
            index=index,
            address_of=self.forms.address_of,
            form_of=read_form,
            metrics=metrics,
            url=settings.dashboard_url.strip(),
        )
