"""Writes the pages that need no script: the login, one's own account, and what is shown while Redis is away.

Everything that somebody else may have written is escaped. Their answers have a Content-Security-Policy that allows a form to this process and our
one style sheet. `Referrer-Policy` is `same-origin`, because with `no-referrer` browsers say `Origin: null` when they send a form.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import NamedTuple

from aiohttp import hdrs, web

from schemas.users import PASSWORD_CHARS_MIN

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-store",
}
AWAY_SECONDS = 5
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
{more}<title>{title} · Forebay</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/login.css">
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


class Row(NamedTuple):
    """Holds one session for the list: what it runs on, when it began and was last used (unix s), and whether it is this one."""

    agent: str
    made: int
    seen: int
    is_this: bool


def style() -> bytes:
    """Returns the style sheet of these pages."""
    return files("dashboard").joinpath("access", "login.css").read_bytes()


def login(token: str, *, name: str = "", problem: str = "", status: int = 200, has_users: bool = True) -> web.Response:
    """Returns the page on which somebody logs in. `problem` says why the last attempt did not."""
    first = (
        ""
        if has_users
        else "<p class='note'>There is no user yet. On the server, "
        "<code>forebay user add NAME --role admin</code> makes one.</p>"
    )
    focus = ("", " autofocus") if name else (" autofocus", "")
    form = f"""{first}{_problem(problem)}<form method="post">
{_token(token)}
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="64"
 value="{escape(name)}"{focus[0]}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256"{focus[1]}>
<button>Log in</button>
</form>"""
    return _page("Log in", form, status=status)


def account(
    token: str,
    *,
    name: str,
    grants: Sequence[tuple[str, str]],
    sessions: Sequence[Row],
    said: str = "",
    problem: str = "",
    status: int = 200,
) -> web.Response:
    """Returns the page of one's own account: what one may see, another password, one's sessions."""
    sites = "".join(
        f"<li>{escape('every site' if site == '*' else site)} <span>{escape(role)}</span></li>" for site, role in grants
    )
    rows = "".join(_row(one) for one in sessions)
    others = (
        f"""<form method="post" action="/account/sessions">{_token(token)}<button>End all others</button></form>"""
        if len(sessions) > 1
        else ""
    )
    body = f"""{_said(said)}{_problem(problem)}<p>You are <strong>{escape(name)}</strong>. <a href="/">To the numbers</a></p>
<form method="post" action="/logout">{_token(token)}<button>Log out</button></form>
<h2>What you may see</h2>
<ul>{sites or "<li>no site yet</li>"}</ul>
<h2>Where you are logged in</h2>
<div class="wide" role="region" aria-label="Where you are logged in" tabindex="0"><table><thead><tr><th scope="col">Browser</th><th scope="col">Since</th><th scope="col">Last used</th></tr></thead>
<tbody>{rows}</tbody></table></div>
{others}
<h2>Another password</h2>
<form method="post" action="/account/password">
{_token(token)}
<input name="name" autocomplete="username" value="{escape(name)}" readonly hidden>
<label for="current">Password now</label>
<input id="current" name="current" type="password" autocomplete="current-password" required maxlength="256">
<label for="new">New password, of {PASSWORD_CHARS_MIN} characters or more</label>
<input id="new" name="new" type="password" autocomplete="new-password" required minlength="{PASSWORD_CHARS_MIN}" maxlength="256">
<label for="again">New password once more</label>
<input id="again" name="again" type="password" autocomplete="new-password" required minlength="{PASSWORD_CHARS_MIN}" maxlength="256">
<button>Change it</button>
</form>"""
    return _page("Your account", body, status=status)


def link_password(link: str, *, problem: str = "", status: int = 200) -> web.Response:
    """Returns the page on which somebody says the password of a public link."""
    form = f"""{_problem(problem)}<form method="post" action="/shared">
<input type="hidden" name="link" value="{escape(link)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="off" required maxlength="256" autofocus>
<button>Show the numbers</button>
</form>"""
    return _page("This link needs a password", form, status=status)


def no_link(why: str, *, status: int) -> web.Response:
    """Returns what is shown in the place of what a public link showed."""
    return _page("Nothing here", f"<p role='alert'>{escape(why)}</p>", status=status)


def away(why: str) -> web.Response:
    """Returns the page that is shown while it can't be known who looks. It asks again by itself."""
    again = f'<meta http-equiv="refresh" content="{AWAY_SECONDS}">\n'
    response = _page("Not now", f"<p role='alert'>{escape(why)}</p><p>This page tries again by itself.</p>", 503, again)
    response.headers[hdrs.RETRY_AFTER] = str(AWAY_SECONDS)
    return response


def _page(title: str, body: str, status: int = 200, more: str = "") -> web.Response:
    text = PAGE.format(title=title, body=body, more=more)
    return web.Response(text=text, content_type="text/html", status=status, headers=HEADERS)


def _row(one: Row) -> str:
    this = " <em>(this one)</em>" if one.is_this else ""
    times = "".join(
        f"<td><time>{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC</time></td>" for at in (one.made, one.seen)
    )
    return f"<tr><td>{escape(one.agent)}{this}</td>{times}</tr>"


def _token(token: str) -> str:
    return f'<input type="hidden" name="token" value="{escape(token)}">'


def _problem(text: str) -> str:
    return f"<p class='problem' role='alert'>{escape(text)}</p>" if text else ""


def _said(text: str) -> str:
    return f"<p class='note' role='status'>{escape(text)}</p>" if text else ""
