"""The keys by which SDKs name a site: `<family>:<key>`, such as posthog:phc_… or segment:WK123.

Keys are no secrets, because they stand in pages. The record of a site has its keys (schemas/site.py), and a key belongs to one site.
An event whose field `site` is a key belongs to the site of that key. The case of letters counts in keys, except in families whose
keys are UUIDs. Families whose SDKs name a site by its domain (Plausible, GoatCounter) have no keys.

Not promised: that the family itself gave out a key. People may register any key that they wrote into their client.
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
