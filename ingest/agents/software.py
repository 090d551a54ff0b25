"""Gives browsers and systems the names that people use, and their major versions.

A browser has one name whatever the device: Chrome on a telephone is "Chrome", as on a desktop, because `device` tells them
apart (Plausible and GA4 do the same). What an app shows in a view of its own is "Android WebView" or "iOS WebView", unless
the app names itself (Instagram). Families that ua-parser names otherwise are in `BROWSERS` and `SYSTEMS`; all others are
stored as it names them.

Versions are major ones, "" where the agent says none that somebody asks for: a Chromebook says its build, and Linux its
processor. Browsers freeze "Windows NT 10.0" (Windows 11 shows in hints alone), "Mac OS X 10_15_7" (so `10.15` means that or
later) and "Android 10"; hints say more where they are sent.

Not promised: that a hint is heeded. A family that names more than an engine (Facebook, Instagram) says more than the
brand of the engine.
"""

from __future__ import annotations

import re

from ua_parser import OS, UserAgent

from ingest.agents.device import is_hidden_android, is_hidden_ipad
from ingest.agents.hints import Hints

NAME_CHARS_MAX = 60  # some families are the agent's own words
BROWSERS = {
    "Android": "Android Browser",
    "BlackBerry WebKit": "BlackBerry",
    "Chrome Frame": "Chrome",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Chrome Mobile iOS": "Chrome",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Ecosia Android": "Ecosia",
    "Ecosia iOS": "Ecosia",
    "Edge Mobile": "Edge",
    "Firefox Alpha": "Firefox",
    "Firefox Beta": "Firefox",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "IE": "Internet Explorer",
    "IE Large Screen": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "MiuiBrowser": "Mi Browser",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Opera Coast": "Opera",
    "Opera GX": "Opera",
    "Opera Mobile": "Opera",
    "Opera Neon": "Opera",
    "Opera Touch": "Opera",
    "QQ Browser Mini": "QQ Browser",
    "QQ Browser Mobile": "QQ Browser",
    "WeChat Browser": "WeChat",
}
SYSTEMS = {
    "ATV OS X": "tvOS",
    "Mac OS": "macOS",
    "Mac OS X": "macOS",
    "Other": "",
    "WatchOS": "watchOS",
    "Web0S": "webOS",
}
# Words of agents, in lower case, in which ua-parser finds no system.
UNNAMED = {
    "openharmony": "HarmonyOS",
    "playstation": "PlayStation",
    "nintendo": "Nintendo",
}
# Systems whose agents carry a version that people know. Of the others it is a build, a kernel, or nothing.
VERSIONED = frozenset(
    ("Android", "BlackBerry OS", "Debian", "Fedora", "Fire OS", "HarmonyOS", "KaiOS", "Kindle", "Roku", "Symbian OS",
     "Tizen", "Ubuntu", "Windows", "Windows Phone", "iOS", "macOS", "tvOS", "watchOS", "webOS")
)  # fmt: skip
# Browsers whose agents say no more than that they are built on Chromium; hints then name the maker (Brave, for one).
GENERIC = frozenset(("Chrome", "Chromium", "Android WebView", ""))
FROZEN_IOS = 26  # from this version on the system's stays 18, and Safari's says which it is
_number = re.compile(r"[0-9]{1,4}").fullmatch
_name = re.compile(r"[0-9A-Za-z]{1,6}").fullmatch
_safari_version = re.compile(r"version/([0-9]{1,4})").search


def browser_of(found: UserAgent | None, lower: str, hints: Hints) -> tuple[str, str]:
    """Returns a browser's name and major version.

    `found` is what ua-parser says, and `lower` is the User-Agent in lower case.
    """
    family, version = ("", "") if found is None else (found.family, found.major or "")
    name = BROWSERS.get(family, family)[:NAME_CHARS_MAX]
    version = version if _number(version) else ""
    if family == "Apple Mail" and is_hidden_ipad(lower):  # an app: its agent is Mail's, but for "Mobile/"
        return "iOS WebView", ""
    if family == "Apple Mail" and "playstation" in lower:  # whose agent is Mail's, too
        return "", ""
    if hints.browser and (hints.browser == name or name in GENERIC):
        return hints.browser, hints.browser_version
    return name, version


def system_of(found: OS | None, lower: str, hints: Hints) -> tuple[str, str]:
    """Returns a system's name and major version, of the same as `browser_of`."""
    family = "" if found is None else found.family
    name, version = SYSTEMS.get(family, family)[:NAME_CHARS_MAX], ""
    if "nintendo" in lower:  # which says that it is like an iPhone
        name = "Nintendo"
    elif is_hidden_ipad(lower):
        name = "iOS"  # and the version of the agent is the Mac's
    elif is_hidden_android(lower) or (hints.os == "Android" and name in {"", "Linux"}):
        name = "Android"
    elif found is not None and name in VERSIONED:
        version = _version(name, found.major or "", found.minor or "")
    elif not name:
        name = hints.os or next((system for word, system in UNNAMED.items() if word in lower), "")
    if hints.os == name and hints.os_version:
        version = hints.os_version
    if name == "iOS":
        version = _ios_version(version, lower)
    return name, version


def _version(name: str, major: str, minor: str) -> str:
    """Returns a system's version as people call it: 8.1 of Windows, 10.15 of macOS, 22.04 of Ubuntu, else the first number."""
    has_two = (name == "Windows" and major == "8") or (name == "macOS" and major == "10") or name == "Ubuntu"
    if has_two and _number(minor):
        return f"{major}.{minor}" if _number(major) else ""
    return major if _name(major) else ""


def _ios_version(version: str, lower: str) -> str:
    """Returns the version of iOS. Safari's is the system's, whose own number agents froze at 18 when 26 came."""
    said = _safari_version(lower)
    if said is None or "crios/" in lower:
        return version
    if not version and "mobile/" in lower:  # an iPad that calls itself a Mac
        return said[1]
    return said[1] if int(said[1]) >= FROZEN_IOS else version
