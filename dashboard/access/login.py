"""Lets somebody in who has the right password: throttled, in the same time whoever is named, and told if the device is new.

Passwords are compared one after the other in one thread, because each takes 46 MiB and a processor (runtime/passwords.py); 16 more may wait.

Not promised: that somebody who waits is let in before others who came later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from dashboard.access.devices import Devices
from dashboard.access.sessions import Sessions
from dashboard.access.signing import hash_of
from dashboard.access.throttle import Bucket, Throttle, Throttled
from dashboard.access.users import Found, Users
from dashboard.catalogue.contract import Away, Busy
from dashboard.metrics import Metrics
from runtime import passwords
from schemas.users import ID_CHARS, PASSWORD_CHARS_MAX, user_name

WAITING_MAX = 16
NAME_CHARS_MAX = 64
NOBODYS_ID = "0" * ID_CHARS
HASHING = ThreadPoolExecutor(1, "passwords")
ResultT = TypeVar("ResultT")


class Wrong(Exception):
    """Says that the name or the password is wrong, and not which of them."""


class Origin(NamedTuple):
    """Holds where an attempt comes from: the address as it is counted, this machine itself or not, the device's number, the browser."""

    address: str
    is_here: bool
    device: str
    agent: str


class Entered(NamedTuple):
    """Holds who was let in, the text of the session's cookie, and whether the device is new to the user."""

    user: Found
    cookie: str
    is_new_device: bool


class Login:
    """Checks passwords, and begins sessions."""

    def __init__(
        self, *, users: Users, sessions: Sessions, devices: Devices, throttle: Throttle, metrics: Metrics
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._devices = devices
        self._throttle = throttle
        self._metrics = metrics
        self._waiting = 0

    async def enter(self, name: str, password: str, origin: Origin) -> Entered:
        """Lets somebody in. Raises Wrong, Throttled, Busy and Away; each is counted."""
        user = await self.checked(name, password, origin)
        is_new = await self._devices.learn(user.record.id, origin.device)
        cookie = await self.begin(user, origin)
        self._count("in")
        return Entered(user, cookie, is_new)

    async def begin(self, user: Found, origin: Origin) -> str:
        """Begins a session, and returns the text of its cookie."""
        return await self._sessions.begin(user, device=hash_of(origin.device), agent=origin.agent)

    async def checked(self, name: str, password: str, origin: Origin) -> Found:
        """Returns the user of a name and a password. Raises the same errors as `enter`."""
        try:
            return await self._checked(user_name(name)[:NAME_CHARS_MAX], password, origin)
        except Throttled as error:
            self._count(f"throttled_{error.kind}")
            raise
        except Wrong:
            self._count("wrong")
            raise
        except Busy:
            self._count("busy")
            raise
        except Away:
            self._count("away")
            raise

    async def hashed(self, password: str) -> str:
        """Returns what is kept of a password. Raises Busy."""
        return await self._alone(lambda: passwords.hashed(password))

    async def is_right(self, kept: str, password: str) -> bool:
        """Tells whether this is the password of a hash. It takes the same time if there is no hash (""). Raises Busy."""
        return await self._alone(lambda: passwords.is_right(kept or passwords.NOBODY, password)) and bool(kept)

    async def _checked(self, name: str, password: str, origin: Origin) -> Found:
        user = await self._users.get(name)
        user_id = user.record.id if user is not None else NOBODYS_ID
        is_known = await self._devices.knows(user_id, origin.device)
        buckets = _buckets(name, origin, f"{user_id}\0{origin.device}" if is_known else "")
        await self._throttle.take(buckets)
        kept = user.record.password if user is not None else passwords.NOBODY
        said = password[: PASSWORD_CHARS_MAX + 1]
        if not await self._alone(lambda: passwords.is_right(kept, said)) or user is None:
            raise Wrong
        await self._throttle.put_back(buckets)
        return user

    async def _alone(self, work: Callable[[], ResultT]) -> ResultT:
        """Returns the result of work that no other of its kind runs beside. Raises Busy."""
        if self._waiting > WAITING_MAX:
            raise Busy("Too many people log in at this moment; try again.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(HASHING, work)
        finally:
            self._waiting -= 1

    def _count(self, fate: str) -> None:
        self._metrics.logins.labels(fate).inc()


def _buckets(name: str, origin: Origin, known_device: str) -> Sequence[Bucket]:
    """Returns from which buckets an attempt takes."""
    if known_device:
        return (Bucket("device", known_device),)
    if origin.is_here:
        return (Bucket("address", "here"),)
    return (Bucket("address", origin.address), Bucket("user", name), Bucket("all", ""))
