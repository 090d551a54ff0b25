"""`forebay user add|list|set|remove`: says who may look at the dashboard, at which sites, and who may change something there.

As soon as there is a user, everybody has to log in, on this machine too. A password is asked for at the terminal, or read from stdin (its
first line), and never stands in the command. Another password, other grants and a removal hold at once, and end the sessions that they concern.

The exit status is 1 if Redis does not answer, or there is no such user, or already one; 2 if a name, a site, an address or the password can't be
used.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from forebay import config
from forebay.options import DATA, REDIS_URL, declare
from forebay.typed import Unfit, typed_password
from runtime import passwords, redis
from schemas.host import named_site
from schemas.keys import EVERY_SITE
from schemas.mail_address import mail_address
from schemas.redis.keys import SITES_KEY, USERS_KEY, devices_key, sessions_key
from schemas.redis.scripts import script
from schemas.users import (
    GRANTS_MAX,
    NAME_FORM,
    ROLES,
    Role,
    User,
    is_user_name,
    new_id,
    user_name,
)

REPLACE = script("replace_field")


class Missing(Exception):
    """Says that there is no such user, or that there is one already."""


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="add a user, and ask for a password; from then on everybody has to log in")
    listed = actions.add_parser("list", help="print the users, without what is secret")
    changed = actions.add_parser("set", help="change what a user may see, the mail address, or the password")
    remove = actions.add_parser("remove", help="remove a user, and end the user's sessions at once")
    for action in (add, changed, remove):
        action.add_argument("name", metavar="NAME", help=f"{NAME_FORM}; an e-mail address does well")
    for action in (add, changed):
        action.add_argument(
            "--site",
            dest="sites",
            action="append",
            help=f"a site that the role is for; repeatable (default: '{EVERY_SITE}', which is every site)",
        )
        action.add_argument(
            "--role",
            choices=ROLES,
            help="viewer: sees the numbers (default of add). admin: changes goals, notes and links of the site too",
        )
        action.add_argument("--email", help="where a login on a new device is told; '' is nowhere of one's own")
    changed.add_argument("--no-site", dest="without", action="append", help="take a site away; repeatable")
    changed.add_argument("--password", action="store_true", help="ask for another password, and end all sessions")
    for action in (add, listed, changed, remove):
        declare(action, DATA, REDIS_URL)


def command(options: argparse.Namespace) -> int:
    url = config.redis_url(config.tool_settings(data=options.data, redis_url=options.redis_url))
    try:
        with redis.blocking_client(url, seconds=5, is_text=True) as client:
            if options.action == "list":
                return _list(client)
            name = user_name(options.name)
            if options.action == "remove":
                return _remove(client, name)
            if not is_user_name(name):
                raise Unfit(f"{name[:64]!r} can't be the name of a user: it has {NAME_FORM}")
            return (_add if options.action == "add" else _set)(client, name, options)
    except Missing as error:
        sys.stderr.write(f"forebay user: {error}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"forebay user: {error}\n")
        return 2
    except redis.RedisError as error:
        sys.stderr.write(f"forebay user: Redis at {config.without_password(url)}: {error}\n")
        return 1


def _add(client: Any, name: str, options: argparse.Namespace) -> int:
    grants = _granted(client, {}, options.sites or [EVERY_SITE], options.role or "viewer")
    email = mail_address(options.email) if options.email else ""
    if client.hexists(USERS_KEY, name):
        raise Missing(f"there is a user {name} already: `forebay user set {name}` changes one")
    hashed = passwords.hashed(typed_password(name, user=name))
    made = User(
        id=new_id(secrets.choice),
        stamp=new_id(secrets.choice),
        password=hashed,
        grants=grants,
        email=email,
        made=int(time.time()),
    )
    if not client.hsetnx(USERS_KEY, name, made.encode()):
        raise Missing(f"there is a user {name} already: `forebay user set {name}` changes one")
    sys.stderr.write(f"{name} may log in now, and from now on everybody has to.\n")
    if not any(_is_admin(value) for value in client.hvals(USERS_KEY)):
        sys.stderr.write(f"Nobody may change anything on the page yet: `forebay user set {name} --role admin`\n")
    return 0


def _set(client: Any, name: str, options: argparse.Namespace) -> int:
    there = client.hget(USERS_KEY, name)
    if there is None:
        raise Missing(f"there is no user {name}: `forebay user add {name}` adds one")
    try:
        user = User.decode(there)
    except (ValueError, RecursionError) as error:
        raise Missing(f"the record of {name} can't be read: `forebay user remove {name}` removes it") from error
    if options.sites or options.role:
        role: Role = options.role or "viewer"
        sites = options.sites or list(user.grants) or [EVERY_SITE]
        user = replace(user, grants=_granted(client, user.grants, sites, role))
    if options.without:
        gone = {named_site(said, every=EVERY_SITE) for said in options.without}
        user = replace(user, grants={site: role for site, role in user.grants.items() if site not in gone})
    if options.email is not None:
        user = replace(user, email=mail_address(options.email) if options.email else "")
    if options.password:
        user = replace(user, password=passwords.hashed(typed_password(name, user=name)), stamp=new_id(secrets.choice))
    if client.eval(REPLACE, 1, USERS_KEY, name, there, user.encode()) != "ok":
        raise Missing(f"somebody has changed {name} meanwhile: look with `forebay user list`, and try again")
    if options.password:
        client.delete(sessions_key(user.id))
    return 0


def _remove(client: Any, name: str) -> int:
    there = client.hget(USERS_KEY, name)
    if there is None or not client.hdel(USERS_KEY, name):
        raise Missing(f"there is no user {name[:64]}: `forebay user list` shows those that there are")
    try:
        user_id = User.decode(there).id
    except (ValueError, RecursionError):
        return 0  # sessions name an id that no user has any more
    client.delete(sessions_key(user_id))
    client.delete(devices_key(user_id))
    if not client.hlen(USERS_KEY):
        sys.stderr.write("There is no user any more: without a public URL this machine needs no login again.\n")
    return 0


def _list(client: Any) -> int:
    found = client.hgetall(USERS_KEY)
    if not found:
        sys.stderr.write("there is no user: `forebay user add NAME --role admin` adds one\n")
    for name, value in sorted(found.items()):
        try:
            user = User.decode(value)
        except (ValueError, RecursionError):
            sys.stderr.write(
                f"forebay user: {name}: its record can't be read: `forebay user remove {name}` removes it\n"
            )
            continue
        grants = " ".join(f"{site}:{role}" for site, role in sorted(user.grants.items())) or "no site"
        made = f"{datetime.fromtimestamp(user.made, UTC):%Y-%m-%d}"
        sys.stdout.write(f"{name}\t{grants}\t{made}\t{user.email}".rstrip() + "\n")
    return 0


def _granted(client: Any, before: dict[str, Role], said: list[str], role: Role) -> dict[str, Role]:
    """Returns grants with this role on these sites. Raises ValueError."""
    sites = [named_site(one, every=EVERY_SITE) for one in said]
    for site in sites:
        if site != EVERY_SITE and not client.hexists(SITES_KEY, site):
            sys.stderr.write(f"{site} is not registered (`forebay site list` shows those that are)\n")
    grants = {**before, **dict.fromkeys(sites, role)}
    if len(grants) > GRANTS_MAX:
        raise Unfit(f"a user has at most {GRANTS_MAX} grants; '{EVERY_SITE}' is every site")
    return grants


def _is_admin(value: str) -> bool:
    try:
        return "admin" in User.decode(value).grants.values()
    except (ValueError, RecursionError):
        return False
