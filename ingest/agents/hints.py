"""Reads client hints: what a browser says of itself in headers of its own, beside a User-Agent that it froze.

Chromium sends three of them by default with every request over https, to other origins too: `Sec-CH-UA` (its brands, each
with a major version), `Sec-CH-UA-Mobile` and `Sec-CH-UA-Platform`. The system's version and the model come only to sites
that asked for them. Firefox and Safari send none. The brands are shuffled, and one of them is invented anew
now and then ("Not?A_Brand"), so that nobody relies on their order; it is left out here.

Only brands of the table are believed, because a stranger's invented name would be a new word of the column `browser`.

Not promised: that hints are there. A page over http, and a proxy that drops what it does not know, leave none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

HINT_BYTES_MAX = 256  # of one header; Chromium's longest, with four brands, has 120
BRANDS_HEADER = b"sec-ch-ua"
HEADERS = (
    BRANDS_HEADER,
    b"sec-ch-ua-mobile",
    b"sec-ch-ua-platform",
    b"sec-ch-ua-platform-version",
    b"sec-ch-ua-model",
)
CHROMIUM = "chromium"
HEADLESS_BRAND = "headlesschrome"
# Brands, in lower case, and the names that the column `browser` has for them. Chromium is the engine of
# all of them, and a browser only where it stands alone.
BRANDS = {
    "google chrome": "Chrome",
    "microsoft edge": "Edge",
    "microsoft edge webview2": "Edge",
    "opera": "Opera",
    "opera gx": "Opera",
    "opera mobile": "Opera",
    "operamobile": "Opera",
    "brave": "Brave",
    "samsung internet": "Samsung Internet",
    "yabrowser": "Yandex Browser",
    "yandex": "Yandex Browser",
    "vivaldi": "Vivaldi",
    "whale": "Whale",
    "coccoc": "Coc Coc",
    "duckduckgo": "DuckDuckGo",
    "ecosia": "Ecosia",
    "oculus browser": "Oculus Browser",
    "huawei browser": "Huawei Browser",
    "miui browser": "Mi Browser",
    "avast secure browser": "Avast Secure Browser",
    "android webview": "Android WebView",
    CHROMIUM: "Chromium",
}
# Platforms, in lower case, and the names that the column `os` has for them.
PLATFORMS = {
    "windows": "Windows",
    "macos": "macOS",
    "linux": "Linux",
    "android": "Android",
    "chrome os": "Chrome OS",
    "chromium os": "Chrome OS",
    "ios": "iOS",
}
WINDOWS_11_FROM = 13  # Microsoft's table: 1 to 10 are Windows 10, 13 and more are Windows 11
OLD_WINDOWS = {"0.1": "7", "0.2": "8", "0.3": "8.1"}

# Words of a User-Agent that can't be beside a platform of the hints. An X11 may be an Android that asks for desktop pages.
ELSEWHERE = {
    "Windows": ("macintosh", "x11", "android", "iphone", "ipad"),
    "macOS": ("windows nt", "x11", "android"),
    "Linux": ("windows nt", "macintosh", "iphone", "ipad"),
    "Android": ("windows nt", "macintosh", "iphone", "ipad"),
    "Chrome OS": ("windows nt", "macintosh", "iphone", "ipad"),
    "iOS": ("windows nt", "android"),
}
# Each character can be read in one way only, so this takes time in proportion to the header's length.
_brands = re.compile(r'"((?:[^"\\]|\\.)*)"\s*;\s*v\s*=\s*"([0-9]{1,4})[^"]*"').findall
_invented = re.compile(r"not.{0,3}a.{0,3}brand", re.ASCII).search
_version = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?").match


class Hints(NamedTuple):
    """Holds the hints of a request. A hint that was not sent is "" or None.

    `browser` is a name of `BRANDS`, with its major version; "" where no brand is known.
    """

    is_sent: bool = False
    browser: str = ""
    browser_version: str = ""
    is_headless: bool = False
    is_mobile: bool | None = None
    os: str = ""
    os_version: str = ""
    model: str = ""


NO_HINTS = Hints()


def raw_hints(fields: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """Returns the bytes of the hints, cut, in the order of `HEADERS`; an empty tuple where no brands are sent."""
    if BRANDS_HEADER not in fields:
        return ()
    return tuple([fields.get(name, b"")[:HINT_BYTES_MAX] for name in HEADERS])


def hints_of(raw: tuple[bytes, ...]) -> Hints:
    """Returns what these bytes, as `raw_hints` returns them, say. What makes no sense counts as not sent."""
    if not raw:
        return NO_HINTS
    brands, mobile, platform, platform_version, model = [one.decode("latin-1") for one in raw]
    found = {name.lower(): version for name, version in _brands(brands) if not _invented(name.lower())}
    known = next((name for name in found if name in BRANDS and name != CHROMIUM), "")
    if not known and found.keys() == {CHROMIUM}:  # beside an unknown brand it is the engine
        known = CHROMIUM
    system = PLATFORMS.get(_text(platform).lower(), "")
    return Hints(
        is_sent=True,
        browser=BRANDS.get(known, ""),
        browser_version=found.get(known, ""),
        is_headless=HEADLESS_BRAND in found,
        is_mobile={"?1": True, "?0": False}.get(mobile.strip()),
        os=system,
        os_version=_system_version(system, _text(platform_version)),
        model=_text(model),
    )


def _text(said: str) -> str:
    """Returns the text of a structured field's string (RFC 8941), which stands in quotes."""
    return said.strip().strip('"')


def _system_version(system: str, said: str) -> str:
    """Returns a platform's version as people call it; "" where the hint has no such version: Linux sends its kernel's, or nothing."""
    found = _version(said)
    if found is None:
        return ""
    major, minor = found.group(1), found.group(2)
    if system == "Windows":
        if major == "0":
            return OLD_WINDOWS.get(f"0.{minor}", "")
        return "11" if int(major) >= WINDOWS_11_FROM else "10"
    if system == "macOS":
        return f"10.{minor}" if major == "10" and minor else major
    return major if system in {"Android", "iOS"} else ""


def is_contradicted(lower: str, hints: Hints) -> bool:
    """Returns whether a User-Agent, in lower case, can't be that of the browser that sent these hints.

    Only Chromium sends them, so Firefox and Safari have none. The version of the engine is not compared, because apps give
    their views an agent of an older one.
    """
    if not hints.is_sent:
        return False
    is_chromium = "chrome/" in lower or "chromium/" in lower
    if "gecko/" in lower or ("safari/" in lower and not is_chromium):
        return True
    return any(said in lower for said in ELSEWHERE.get(hints.os, ()))
