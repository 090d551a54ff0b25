"""Tells people something through every channel that is set up, without ever making the caller wait or fail.

`tell` puts a message in line, and tries it again with growing pauses until it was taken, was refused for good, or failed
so often that it is given up. `attempt` makes one attempt and waits for it: it is for whoever keeps count elsewhere and
tries again in their own time (dashboard/reports).

Everything is bounded: what waits, how many are sent at once, how long an attempt takes, how many there are. Every message
that `tell` takes has one fate for each destination, which is counted: `sent`, or `failed` with its reason.

Not promised: that what waits survives the process. At the end it is counted as failed, `stopped`, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.notify.mail import Mail
from runtime.notify.message import Message, Reason, Undelivered
from runtime.notify.webhook import Webhook
from schemas.mail_address import mail_address

ATTEMPT_SECONDS = 20.0
PAUSES = (5.0, 30.0, 120.0, 600.0)  # between five attempts: a server that restarts is back within a quarter of an hour
WAITING_MAX = 200
AT_ONCE = 4
CLOSE_SECONDS = 2.0
_log = logging.getLogger("notify")


class Settings(Protocol):
    """Says which settings set the channels up (docs/configuration.md)."""

    @property
    def notify_smtp_url(self) -> str: ...
    @property
    def notify_from(self) -> str: ...
    @property
    def notify_to(self) -> tuple[str, ...]: ...
    @property
    def notify_webhook_url(self) -> str: ...
    @property
    def notify_webhook_secret(self) -> str: ...
    @property
    def notify_ca(self) -> str: ...


class Channel(Protocol):
    """Sends one message to one address, and raises Undelivered. A webhook has one address, which is empty."""

    name: str
    host: str
    port: int

    async def send(self, message: Message, to: str) -> None: ...


class Count(Protocol):
    """Counts what became of a message, or that an attempt failed."""

    def fate(self, kind: str, channel: str, fate: str, reason: str) -> None: ...
    def attempt_failed(self, channel: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Destination:
    """Names where a message goes: a channel, and an address within it."""

    channel: Channel
    to: str = ""


def channels_of(settings: Settings, *, seconds: float = ATTEMPT_SECONDS) -> tuple[Mail | None, Webhook | None]:
    """Returns the channels that settings describe. Raises ValueError, which names the setting but shows no secret."""
    try:
        tls = ssl.create_default_context(cafile=settings.notify_ca or None)
    except (OSError, ValueError) as error:
        raise ValueError(f"notify_ca: {settings.notify_ca}: {getattr(error, 'strerror', None) or error}") from error
    mail = webhook = None
    for said in settings.notify_to:
        try:
            mail_address(said)
        except ValueError as error:
            raise ValueError(f"notify_to: {error}") from None
    if settings.notify_smtp_url:
        mail = Mail(settings.notify_smtp_url, sender=settings.notify_from, tls=tls, seconds=seconds)
    elif settings.notify_to:
        raise ValueError("notify_to: there is no notify_smtp_url to send mails through")
    if settings.notify_webhook_url:
        secret = settings.notify_webhook_secret
        webhook = Webhook(settings.notify_webhook_url, secret=secret, tls=tls, seconds=seconds)
    return mail, webhook


class Notifier:
    """Sends messages through the channels it was given. `to` are the addresses of messages that name none."""

    def __init__(
        self,
        *,
        mail: Channel | None,
        webhook: Channel | None,
        to: Sequence[str] = (),
        count: Count,
        pauses: Sequence[float] = PAUSES,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self.mail, self.webhook = mail, webhook
        self._to = tuple(to)
        self._count = count
        self._pauses = tuple(pauses)
        self._waiting_max = waiting_max
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._ending = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def destinations(self, to: Sequence[str] | None = None, *, by_webhook: bool = True) -> list[Destination]:
        """Returns where a message goes: to these addresses, or if that is None to those of `notify_to`, and to the webhook."""
        found = []
        if self.mail is not None:
            found = [Destination(self.mail, one) for one in dict.fromkeys(self._to if to is None else to)]
        if self.webhook is not None and by_webhook:
            found.append(Destination(self.webhook))
        return found

    def tell(self, message: Message, *, to: Sequence[str] | None = None, by_webhook: bool = True) -> None:
        """Puts a message in line for each of its destinations, and returns at once. It never fails; the log says what did."""
        found = self.destinations(to, by_webhook=by_webhook)
        if not found:
            self._fail(message, "", "nowhere", "no channel and address is set up for it")
        for one in found:
            if len(self._tasks) >= self._waiting_max:
                self._fail(message, one.channel.name, "full", f"{self._waiting_max} wait already")
                continue
            task = asyncio.get_running_loop().create_task(self._deliver(message, one))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def attempt(self, message: Message, destination: Destination) -> None:
        """Makes one attempt, and counts `sent` or a failed attempt. Raises Undelivered."""
        channel = destination.channel
        try:
            async with self._turns:
                await channel.send(message, destination.to)
        except Undelivered as error:
            self._count.attempt_failed(channel.name, error.reason)
            raise
        self._count.fate(message.kind, channel.name, "sent", "")

    def destination(self, to: str) -> Destination:
        """Returns where a message to one address goes; the webhook's is empty. Raises Undelivered, counted, if nothing is set up."""
        channel = self.mail if to else self.webhook
        if channel is None:
            self._count.attempt_failed("mail" if to else "webhook", "nowhere")
            raise Undelivered("nowhere", f"{'notify_smtp_url' if to else 'notify_webhook_url'} is not set")
        return Destination(channel, to)

    def give_up(self, message: Message, destination: Destination, error: Undelivered) -> None:
        """Counts a message as failed at one destination, and says so."""
        channel = destination.channel
        self._fail(message, channel.name, error.reason, f"{channel.host}:{channel.port}: {error}")

    async def aclose(self) -> None:
        """Gives what is being sent a moment to end, and ends the rest."""
        self._ending.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, message: Message, destination: Destination) -> None:
        name, failed = destination.channel.name, None
        for pause in (0.0, *self._pauses):
            if failed and not await self._go_on(max(pause * random.uniform(0.8, 1.2), failed.seconds)):
                return self._fail(message, name, "stopped", f"the process ends; before that: {failed}")
            try:
                return await self.attempt(message, destination)
            except Undelivered as error:
                failed = error
                if error.is_final:
                    break
            except asyncio.CancelledError:
                self._fail(message, name, "stopped", "the process ends")
                raise
            except Exception as error:  # the outermost loop of a message: a fault of ours costs one message, counted
                # Where it happened, but not its text, in which there may be a password or the URL of a webhook.
                trace = "".join(traceback.format_tb(error.__traceback__))
                return self._fail(message, name, "fault", f"{type(error).__name__}\n{trace}")
        assert failed is not None
        return self.give_up(message, destination, failed)

    async def _go_on(self, seconds: float) -> bool:
        """Waits, and returns whether to go on then; at the end of the process it returns at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        return not self._ending.is_set()

    def _fail(self, message: Message, channel: str, reason: Reason, text: str) -> None:
        self._count.fate(message.kind, channel, "failed", reason)
        where = f" by {channel}" if channel else ""
        _log.error("a message (%s) was not sent%s: %s: %s", message.kind, where, reason, text)


def notifier_of(settings: Settings, count: Count) -> Notifier:
    """Returns a notifier with the channels that settings describe. Raises ValueError, which names the setting."""
    mail, webhook = channels_of(settings)
    return Notifier(mail=mail, webhook=webhook, to=[mail_address(one) for one in settings.notify_to], count=count)
