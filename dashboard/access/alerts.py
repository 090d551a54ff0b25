"""Tells people that a user has logged in on a device that is new to that user: by mail, by a webhook, and always in the log.

The mail goes to the user's own address, or where none is known to those of `notify_to`. Sending it holds nobody up (runtime/notify/notifier.py).

Not promised: that a mail arrives. What became of each is counted in `forebay_dashboard_messages_total`.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from dashboard.access.users import Found
from dashboard.metrics import Metrics
from runtime.notify.message import Message
from runtime.notify.notifier import Notifier

_log = logging.getLogger("dashboard.access")


class Alerts:
    """Tells of logins on new devices. `url` is where people reach the dashboard, "" for this machine alone."""

    def __init__(self, notifier: Notifier, metrics: Metrics, url: str) -> None:
        self._notifier = notifier
        self._metrics = metrics
        self._url = url.rstrip("/")

    def __call__(self, user: Found, *, agent: str, address: str) -> None:
        """Tells it. The address is in the message alone, and in no log."""
        _log.warning("%s has logged in on a new device: %s", user.name, agent)
        to = [user.record.email] if user.record.email else None
        is_told = bool(self._notifier.destinations(to))
        self._metrics.new_devices.labels("yes" if is_told else "log").inc()
        if is_told:
            self._notifier.tell(self._message(user.name, agent, address), to=to)

    def _message(self, name: str, agent: str, address: str) -> Message:
        at = int(time.time())
        where = f" at {self._url}" if self._url else ""
        account = f"{self._url}/account" if self._url else "your account"
        text = (
            f"{name} has logged in to the dashboard{where} on a device that was not known before.\n\n"
            f"  When     {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC\n"
            f"  Browser  {agent}\n"
            f"  Address  {address or 'unknown'}\n\n"
            f"If that was you, there is nothing to do. If not, change your password now on the page of {account}: that ends all\n"
            "other sessions. Or have an administrator run `forebay user set NAME --password`.\n"
        )
        facts = {"user": name, "browser": agent, "address": address}
        return Message(kind="login", subject=f"A login of {name} on a new device", text=text, facts=facts, at=at)
