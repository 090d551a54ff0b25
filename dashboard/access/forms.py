"""Answers the forms: log in, log out, another password, the end of one's other sessions. They work without scripts.

Each form carries a token that belongs to the browser's device cookie and to its session. A page of another site can read neither, so it can't
send a form that is taken, on top of what dashboard/access/guard.py refuses. A browser keeps the fragment of an address (`#/example.com`) through the login
by itself, so nobody has to tell the form where to go afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from dashboard.access import html
from dashboard.access.agents import browser_of
from dashboard.access.cookies import Cookies
from dashboard.access.devices import Devices
from dashboard.access.entry import LOGIN, asked_of
from dashboard.access.guard import is_local
from dashboard.access.login import Entered, Login, Origin, Wrong
from dashboard.access.sessions import Ended, Sessions
from dashboard.access.signing import Signing
from dashboard.access.throttle import Throttled
from dashboard.access.users import Found, Users
from dashboard.access.viewer import Viewer, viewer_of
from dashboard.body import body_of
from dashboard.catalogue.contract import Unanswered
from dashboard.metrics import Metrics
from runtime.client_ip import ClientAddresses
from schemas.users import password_fault

ACCOUNT, LOGOUT = "/account", "/logout"
PASSWORD, SESSIONS = "/account/password", "/account/sessions"
PATHS = frozenset((LOGIN, LOGOUT, PASSWORD, SESSIONS))
FORM_BYTES_MAX, FIELDS_MAX = 8 << 10, 10
PURPOSE = "form"
OLD_FORM = "This form is too old, or your browser keeps no cookies. Try again."
FORWARDED = ("CF-Connecting-IP", "X-Forwarded-For", "Forwarded")


class Tells(Protocol):
    """Tells somebody that a user has logged in on a new device. It does not wait, and raises nothing."""

    def __call__(self, user: Found, *, agent: str, address: str) -> None:
        """Tells it."""


class Here(NamedTuple):
    """Holds what a request comes from: the device's number (a new one, if the cookie is none of ours), and the address."""

    device: str
    is_new: bool
    address: str
    is_here: bool
    agent: str


class Forms:
    """Answers the forms."""

    def __init__(
        self,
        *,
        login: Login,
        users: Users,
        sessions: Sessions,
        devices: Devices,
        signing: Signing,
        cookies: Cookies,
        addresses: ClientAddresses,
        tell: Tells,
        metrics: Metrics,
    ) -> None:
        self._login = login
        self._users = users
        self._sessions = sessions
        self._devices = devices
        self._signing = signing
        self._cookies = cookies
        self._addresses = addresses
        self._tell = tell
        self._metrics = metrics
        self._style = html.style()

    def add_to(self, app: web.Application) -> None:
        """Adds the routes."""
        app.router.add_get("/login.css", self._css)
        app.router.add_get(LOGIN, self._show_login)
        app.router.add_post(LOGIN, self._enter)
        app.router.add_post(LOGOUT, self._leave)
        app.router.add_get(ACCOUNT, self._show_account)
        app.router.add_post(PASSWORD, self._change_password)
        app.router.add_post(SESSIONS, self._end_others)

    async def _css(self, _: web.Request) -> web.Response:
        return web.Response(body=self._style, content_type="text/css", headers={hdrs.CACHE_CONTROL: "no-cache"})

    async def _show_login(self, request: web.Request) -> web.Response:
        if viewer_of(request).kind in {"user", "local"}:
            return _to("/")
        await self._signing.read()
        here = self._here(request)
        page = html.login(self._token(here.device), has_users=await self._users.has_any())
        return self._with_device(page, here)

    async def _enter(self, request: web.Request) -> web.Response:
        await self._signing.read()
        here, form = self._here(request), await read_form(request)
        name = form.get("name", "")[:64]
        if here.is_new or not self._is_token(form, here.device):
            self._metrics.logins.labels("token").inc()
            page = html.login(self._token(here.device), name=name, problem=OLD_FORM, status=403)
            return self._with_device(page, here)
        try:
            entered = await self._login.enter(name, form.get("password", ""), _origin(here))
        except Wrong:
            return html.login(
                self._token(here.device), name=name, problem="The name or the password is wrong.", status=401
            )
        except Throttled as error:
            page = html.login(self._token(here.device), name=name, problem=str(error), status=429)
            page.headers[hdrs.RETRY_AFTER] = str(error.seconds)
            return page
        except Unanswered as error:
            page = html.login(self._token(here.device), name=name, problem=str(error), status=error.status)
            page.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
            return page
        return await self._entered(request, entered, here)

    async def _entered(self, request: web.Request, entered: Entered, here: Here) -> web.Response:
        """Returns what the browser gets that has logged in. The session that it had before ends."""
        try:
            before = await self._sessions.find(self._cookies.get(request, "session"))
            await self._sessions.end(before.user.record.id, before.id)
        except Ended:
            pass
        if entered.is_new_device:
            self._tell(entered.user, agent=here.agent, address=here.address)
        response = _to("/")
        self._cookies.set(response, "session", entered.cookie)
        self._cookies.set(response, "device", self._devices.cookie(here.device))  # for another 400 days
        return response

    async def _leave(self, request: web.Request) -> web.Response:
        viewer, _ = await self._checked(request)
        await self._sessions.end(viewer.user_id, viewer.session)
        self._metrics.sessions.labels("logout").inc()
        response = _to(LOGIN)
        self._cookies.remove(response, "session")
        return response

    async def _show_account(self, request: web.Request) -> web.Response:
        viewer = viewer_of(request)
        if viewer.kind != "user":
            return _to("/")
        here = self._here(request)
        return self._with_device(await self._account(viewer, here), here)

    async def _end_others(self, request: web.Request) -> web.Response:
        viewer, here = await self._checked(request)
        count = await self._sessions.end_others(viewer.user_id, viewer.session)
        self._metrics.sessions.labels("others").inc(count)
        return await self._account(viewer, here, said="You are logged in here alone.")

    async def _change_password(self, request: web.Request) -> web.Response:
        viewer, here = await self._checked(request)
        form = await read_form(request)
        new = form.get("new", "")
        try:
            user = await self._login.checked(viewer.name, form.get("current", ""), _origin(here))
        except Wrong:
            return await self._account(
                viewer, here, problem="The password that you have now is another one.", status=401
            )
        except (Throttled, Unanswered) as error:
            status = 429 if isinstance(error, Throttled) else error.status
            return await self._account(viewer, here, problem=str(error), status=status)
        fault = password_fault(user.name, new) or ("" if new == form.get("again") else "The two new passwords differ.")
        if fault:
            return await self._account(viewer, here, problem=fault, status=400)
        changed = await self._users.give_password(user, await self._login.hashed(new))
        if changed is None:
            return await self._account(
                viewer, here, problem="Somebody has changed you meanwhile. Try again.", status=409
            )
        self._metrics.sessions.labels("password").inc()
        response = _to(ACCOUNT)
        self._cookies.set(response, "session", await self._login.begin(changed, _origin(here)))
        return response

    async def _account(
        self, viewer: Viewer, here: Here, *, said: str = "", problem: str = "", status: int = 200
    ) -> web.Response:
        user = await self._users.get(viewer.name)
        sessions = await self._sessions.of(user) if user is not None else []
        rows = [html.Row(one.agent, one.made, one.seen, field == viewer.session) for field, one in sessions]
        return html.account(
            self._token(here.device, viewer.session),
            name=viewer.name,
            grants=sorted(viewer.grants.items()),
            sessions=rows,
            said=said,
            problem=problem,
            status=status,
        )

    async def _checked(self, request: web.Request) -> tuple[Viewer, Here]:
        """Returns who sent a form of a session, and from where. Raises web.HTTPForbidden for one that is none of ours."""
        viewer, here = viewer_of(request), self._here(request)
        if viewer.kind != "user" or not self._is_token(await read_form(request), here.device, viewer.session):
            self._metrics.refused.labels("token").inc()
            raise web.HTTPForbidden(reason="This form is too old: open the page anew")
        return viewer, here

    def _here(self, request: web.Request) -> Here:
        number = self._devices.number(self._cookies.get(request, "device"))
        asked = asked_of(request)
        fields = {
            name.lower().encode(): ",".join(values).encode("latin-1", "replace")
            for name in FORWARDED
            if (values := request.headers.getall(name, []))
        }
        client = self._addresses.client(asked.peer, fields)
        return Here(
            device=number or self._devices.new(),
            is_new=not number,
            address=client.address.hashed,
            is_here=is_local(asked),
            agent=browser_of(request.headers.get(hdrs.USER_AGENT, "")),
        )

    def address_of(self, request: web.Request) -> str:
        """Returns whose attempts are counted together with those of a request: its address, or this machine."""
        here = self._here(request)
        return "here" if here.is_here else here.address

    def _with_device(self, response: web.Response, here: Here) -> web.Response:
        if here.is_new:
            self._cookies.set(response, "device", self._devices.cookie(here.device))
        return response

    def _token(self, device: str, session: str = "") -> str:
        return self._signing.signature(PURPOSE, f"{device}\0{session}")

    def _is_token(self, form: Mapping[str, str], device: str, session: str = "") -> bool:
        return self._signing.is_signature(PURPOSE, f"{device}\0{session}", form.get("token", ""))


async def read_form(request: web.Request) -> Mapping[str, str]:
    """Returns the fields of a form. Raises web.HTTPException for one that is too large or can't be read."""
    body = await body_of(request, FORM_BYTES_MAX)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except (ValueError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(reason="The form can't be read") from error


def _origin(here: Here) -> Origin:
    return Origin(address=here.address, is_here=here.is_here, device=here.device, agent=here.agent)


def _to(path: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: path, hdrs.CACHE_CONTROL: "no-store"})
