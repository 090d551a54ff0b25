"""Declares the dimensions: everything that numbers can be divided by and filtered by. Only this module maps them to columns.

A dimension has a form for rows (`forebay.events AS e`), a form for visits (`forebay.sessions AS s`), or both. Where a visit came from, and
its first and last page, have a form for visits only; a page, an event and a property have one for rows only. `conditions` translates
between the two by the session.

People read a word where a value is empty (`word_of`). In a filter that word means the empty value.
"""

from __future__ import annotations

import msgspec

from dashboard.catalogue.contract import Goals, Refused
from dashboard.catalogue.values import Values
from schemas.acts import NO_ACTS_SQL

NOT_SET = "(not set)"
DIRECT = "Direct / None"
NONE = "(none)"
INTERVALS = ("hour", "day", "week", "month")
GOAL = "goal"
TIME = "time"
PROPERTY = "props."
PROPERTY_CHARACTERS_MAX = 300
NO_DEED = NO_ACTS_SQL


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """Holds one dimension: its name, and its expression in each form, which is empty where it has no such form.

    `is_named`: its form for visits is a column of `named_sessions` alone. `is_there`: its tables leave out rows without a value.
    `empty` is the word for an empty value.
    """

    name: str
    row: str = ""
    visit: str = ""
    is_named: bool = False
    is_there: bool = False
    empty: str = NOT_SET

    @property
    def interval(self) -> str:
        """Returns the unit of a dimension of time, or an empty text."""
        return self.name.partition(":")[2] if self.name.startswith("time:") else ""

    def word_of(self, value: str) -> str:
        """Returns what people read for a value."""
        return value or self.empty

    def value_of(self, word: str) -> str:
        """Returns the value that people mean by a word."""
        return "" if word in (self.empty, f"({self.empty})") else word


# Browsers that release 0.1.0 stored under another name, by that name (docs/events.md).
_BROWSERS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
    "Opera Mobile": "Opera",
    "IE": "Internet Explorer",
}
# Browsers do not say that they run on a laptop: a desktop with a screen of that class counts as one.
_DEVICE = (
    "multiIf({0}.device = 'desktop', if({0}.screen_class = 'laptop', 'Laptop', 'Desktop'),"
    " {0}.device = 'mobile', 'Mobile', {0}.device = 'tablet', 'Tablet', {0}.device = 'tv', 'TV', '')"
)
_BROWSER = f"transform({{0}}.browser, {list(_BROWSERS)}, {list(_BROWSERS.values())}, {{0}}.browser)"
_QUARTER = "toStartOfFifteenMinutes(e.ts)"  # as the projection `quarter_hours` has it
ROW_DAY = f"toDate({_QUARTER}, {{zone:String}})"
_TIMES = {  # of a local day and a moment
    "hour": "toUnixTimestamp(toStartOfHour(toTimeZone({1}, {{zone:String}})))",
    "day": "{0}",
    "week": "greatest(toMonday({0}), {{since:Date}})",
    "month": "toStartOfMonth({0})",
}


def _client(name: str, expression: str = "") -> Dimension:
    """Returns a dimension of the client, which rows and visits both have."""
    expression = expression or f"{{0}}.{name}"
    return Dimension(name=name, row=f"toString({expression})".format("e"), visit=expression.format("s"))


def _visit(
    name: str, expression: str = "", *, is_named: bool = False, is_there: bool = False, empty: str = ""
) -> Dimension:
    expression = expression or f"s.{name}"
    return Dimension(name=name, visit=expression, is_named=is_named, is_there=is_there, empty=empty or NOT_SET)


def _row(name: str, column: str = "") -> Dimension:
    return Dimension(name=name, row=f"e.{column or name}")


_TABLE = (
    _row("page", "path"),
    _row("hostname"),
    _row("event", "name"),
    Dimension(name=GOAL, row="goal"),  # its form is made of the site's goals
    _visit("entry_page", "s.entry_path", is_there=True),
    _visit("exit_page", "s.exit_path", is_there=True),
    _visit("entry_hostname", is_there=True),
    _visit("exit_hostname", is_there=True),
    _visit("source", "s.source_name", is_named=True, empty=DIRECT),
    _visit("channel", is_named=True),
    _visit("referrer", "replaceRegexpOne(s.referrer, '^https?://(www[.])?', '')", empty=DIRECT),
    _visit("utm_source"),
    _visit("utm_medium"),
    _visit("utm_campaign"),
    _visit("utm_term"),
    _visit("utm_content"),
    _client("country"),
    _client("region"),
    _client("city"),
    _client("device", _DEVICE),
    _client("screen", "{0}.screen_class"),
    _client("browser", _BROWSER),
    _client("browser_version"),
    _client("os", "replaceOne({0}.os, 'Mac OS X', 'macOS')"),
    _client("os_version"),
    _client("language"),
    _row("bot"),
    _row("bot_name"),
    _row("bot_purpose"),
    *(
        Dimension(
            name=f"time:{unit}",
            row=form.format(ROW_DAY, _QUARTER),
            visit=form.format("s.part_day", "s.part_at"),
        )
        for unit, form in _TIMES.items()
    ),
)
DIMENSIONS = {one.name: one for one in _TABLE}
NAMES = (
    *(name for name in DIMENSIONS if not name.startswith("time:")),
    "props.NAME",
    "time",
    *(f"time:{unit}" for unit in INTERVALS),
)


def dimension_of(name: str) -> Dimension:
    """Returns the dimension of a name; any `props.NAME` is one. Raises Refused."""
    if name.startswith(PROPERTY):
        if not 1 <= len(name) - len(PROPERTY) <= PROPERTY_CHARACTERS_MAX:
            raise Refused(f"The name of a property has 1 to {PROPERTY_CHARACTERS_MAX} characters.")
        return Dimension(name=name, row="props", empty=NONE)
    found = DIMENSIONS.get(name)
    if found is None:
        raise Refused(f"The dimension '{name[:100]}' is not known. Known: {', '.join(NAMES)}.")
    return found


def row_form(dimension: Dimension, values: Values) -> str:
    """Returns the expression for a dimension of rows, but for that of goals."""
    if dimension.name.startswith(PROPERTY):
        return f"e.props[{values.text(dimension.name.removeprefix(PROPERTY))}]"
    return dimension.row


def goal_form(goals: Goals, values: Values) -> str:
    """Returns the expression for the goals that a row reaches. The row is counted once for each of them, and dropped if there is none."""
    if not goals.names:
        return "arrayJoin(if(e.name IN ('pageview', 'engagement', 'vitals', 'identify', 'alias', 'group'), [], [toString(e.name)]))"
    reached = (f"if({goals.condition(name, values)}, {values.text(name)}, '')" for name in goals.names)
    return f"arrayJoin(arrayFilter(g -> g != '', [{', '.join(reached)}]))"
