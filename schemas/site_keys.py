"""The keys by which SDKs name a site: `<family>:<key>`, such as posthog:phc_… or segment:WK123.

They are no secrets: they stand in pages. A site has them in its record (schemas/site.py), a key belongs to one site, and an event
that gives one in its field `site` is that site's. UUIDs have no case; keys of other families do. A family whose SDKs name a
site by its domain has no keys.

Not promised: that a key is one which its family gave. Whoever keeps a client of theirs may write any key into it.
"""

from __future__ import annotations

import re

from schemas.host import holds_server_key, site_name

# As dialects name them in `Event.site`, and people on the command line.
FAMILIES = ("amplitude", "ga4", "matomo", "mixpanel", "openpanel", "posthog", "rybbit", "segment", "snowplow", "umami")
ALIASES = {"jitsu": "segment", "rudderstack": "segment"}  # their SDKs speak Segment's protocol
CASELESS = frozenset(("openpanel", "umami"))
KEY_CHARS_MAX = 128
KEYS_MAX = 100  # of a site

_form = re.compile(rf"(?:{'|'.join(FAMILIES)}):[0-9A-Za-z](?:[0-9A-Za-z._:~-]{{0,{KEY_CHARS_MAX - 1}}})").fullmatch
_address = re.compile(r"[a-z0-9]+:(?:[0-9]{1,3}\.){3}[0-9]{1,3}").fullmatch


def key_of(family: str, said: str) -> str:
    """Returns the key that a client of a family gives, as keys are compared."""
    key = said.strip()
    return f"{family}:{key.lower() if family in CASELESS else key}"


def is_site_key(text: str) -> bool:
    """Tells whether this is a key, as `key_of` gives it. What looks like somebody's address, or has a server key in it, is none."""
    return _form(text) is not None and _address(text) is None and not holds_server_key(text)


def key_form(said: str) -> str:
    """Returns a key that somebody wrote as `<family>:<key>`, as keys are compared. Raises ValueError."""
    family, sign, key = said.strip().partition(":")
    family = ALIASES.get(family.lower(), family.lower())
    found = key_of(family, key)
    if not sign or family not in FAMILIES:
        raise ValueError(f"{said[:64]!r} is no key: write FAMILY:KEY, with one of {', '.join((*FAMILIES, *ALIASES))}")
    if not is_site_key(found):
        raise ValueError(f"{said[:64]!r} can't be the key of a site")
    return found


def name_or_key(said: str) -> str:
    """Returns a key as it is, and anything else as names of sites are compared."""
    return said if is_site_key(said) else site_name(said)
