"""Judges addresses by rules in the form that blockers' lists have (Adblock Plus), of the shapes that are most common for trackers.

The rules were written for these tests, after the shapes that lists of trackers have; no list is copied, because theirs are
licensed otherwise, and no package that could be installed has one.
"""

from __future__ import annotations

import re

# By shape: what a rule of it looks at.
SHAPES = {
    "a host of trackers": ("||google-analytics.com^", "||plausible.io^", "||cloud.umami.is^", "||forebay.*^$third-party"),
    "a label of a host": ("://analytics.", "://stats.", "://metrics.", "://track.", "://tracking.", "://collect.", "://telemetry."),
    "a known file": (
        "/analytics.js", "/ga.js", "/gtag.js", "/matomo.js", "/piwik.js", "/plausible.js", "/umami.js", "/script.js|",
        "/tracker.js", "/tracking.js", "/stats.js", "/pixel.js", "/beacon.js", "/count.js", "/hit.js", "/insights.js", "/f.js|",
    ),
    "a known file with more": ("/js/script.*.js", "/matomo.*.js", "/analytics.*.js", "/f.debug.js", "/f.vitals.js", "/f.queue.js"),
    "a word of a name": ("analytics", "tracking", "tracker", "telemetry", "-stats.", "_stats.", ".stats.", "-trk.", "/trk", "pageview"),
    "a folder": ("/track/*", "/stats/*", "/analytics/*", "/pixel/*", "/beacon/*", "/collect/*", "/event/*", "/metrics/*", "/log/*", "/rum/*"),
    "a known endpoint": (
        "/api/event|", "/api/send|", "/api/collect|", "/g/collect?", "/j/collect?", "/r/collect?", "/matomo.php", "/piwik.php",
        "/f|", "/e/?", "/i?e=", "/capture/", "/batch|", "/v1/track", "/v1/pixel", "/2/httpapi", "/b/ss/", "/cdn-cgi/rum",
    ),
    "a picture": ("/pixel.gif", "/pixel?", "/px.gif", "/1x1.gif", "/p.gif?", "/b.gif?", "/f.gif", "/__utm.gif", "/beacon.gif"),
    "a query": ("?event=", "&event=", "?pageview", "?action_name=", "&action_name=", "&idsite=", "?tid=", "&cid=", "?utm_", "?ping=", "&_ga="),
    "measuring of speed": ("/web-vitals", "/webvitals", "web-vitals.", "/vitals?", "/vitals.js", "/vitals|", "/perf.", "/boomerang"),
    "few letters before a dot": ("/ad.", "/ads.", "/adv.", "/st.", "/sa.", "/tr.", "/px.", "/evt.", "/ev.", "/clk.", "/cnt.", "/imp."),
}  # fmt: skip


def fitting(address: str) -> list[str]:
    """Returns the rules that would block an address."""
    return [rule for rules in SHAPES.values() for rule in rules if _pattern(rule).search(address)]


def _pattern(rule: str) -> re.Pattern[str]:
    """Returns a rule as a pattern: `||` begins a host, `|` ends the address, `^` is a separator, `*` anything."""
    text = rule.partition("$")[0]
    begins = text.startswith("||")
    ends = text.endswith("|")
    middle = re.escape(text.removeprefix("||").removesuffix("|")).replace(r"\*", ".*").replace(r"\^", r"(?:[^\w.%-]|$)")
    return re.compile((r"^\w+://(?:[^/]*\.)?" if begins else "") + middle + ("$" if ends else ""), re.IGNORECASE)
