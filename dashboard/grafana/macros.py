"""Writes the parameters of a statement of the catalogue as Grafana's ClickHouse plugin fills them in.

The plugin sends no query parameters: it puts values into the text. What a person chose comes as `${name:percentencode}`, in which
Grafana leaves letters, digits and `-_.~` alone and encodes everything else. So nothing in a value can end the text that it stands in, and ClickHouse
turns it back (`decodeURLComponent`). Grafana's format `sqlstring` would not do: it doubles quotes, but a backslash in front of one takes
that back. The range of the time picker comes as `$__fromTime` and `$__toTime`, which the plugin writes as `toDateTime(SECONDS)`; both belong to the period.

Not promised: that whoever can use the data source in Grafana sees only what the panels ask. Grafana sends any SQL that its users
write, so the data source's user in ClickHouse decides what can be read.
"""

from __future__ import annotations

import re

from dashboard.catalogue.contract import Statement

SITE, ZONE, BY, COUNTRY, CHANNEL = "site", "zone", "by", "country", "channel"
FROM, TO = "$__fromTime", "$__toTime"
DAY_S = 86_400
# Stand for values that are not known before somebody looks.
STARTS, ENDS = 1_000_000_001, 1_000_000_002
_PLACE = re.compile(r"(?<!\$)\{(\w+):[^{}]+\}")
_COMMENT = re.compile(r"^ *-- .*\n", re.MULTILINE)


def chosen(variable: str) -> str:
    """Returns the expression for what a person chose as a variable: a text."""
    return f"decodeURLComponent('${{{variable}:percentencode}}')"


def unless_all(condition: str, variable: str) -> str:
    """Returns a condition that holds for everything while the variable is "All". The plugin finds its commas and brackets by counting."""
    return f"$__conditionalAll({condition}, ${variable})"


_SHARED = {
    "site": chosen(SITE),
    "zone": chosen(ZONE),
    "bots": "0",
    "offset": "0",
    "since": f"toDate({FROM}, {chosen(ZONE)})",
    "until": f"toDate({TO}, {chosen(ZONE)})",
    "first_day": f"toDate({FROM}, 'UTC')",
    "last_day": f"toDate({TO}, 'UTC')",
    # A session's number has the second of its first event in its upper half.
    "first_session": f"bitShiftLeft(toUInt64(toUnixTimestamp({FROM}) - {DAY_S}), 32)",
    "end_session": f"bitShiftLeft(toUInt64(toUnixTimestamp({TO}) + {DAY_S + 1}), 32)",
    "before": "4294967295",
    "begins": f"toUnixTimestamp({FROM})",
    "now": "toUnixTimestamp(now())",
}
_STANDING: dict[object, str] = {
    STARTS: f"toUnixTimestamp({FROM})",
    ENDS: f"toUnixTimestamp({TO}) + 1",
    COUNTRY: chosen(COUNTRY),
    CHANNEL: chosen(CHANNEL),
}


def filled(statement: Statement) -> str:
    """Returns the SQL of a statement with Grafana's expressions in place of its parameters, and without its comments."""

    def written(place: re.Match[str]) -> str:
        name = place[1]
        if name in _SHARED:
            return _SHARED[name]
        value = statement.parameters[name]
        if isinstance(value, list):
            return f"[{', '.join(_STANDING[one] for one in value)}]"
        if value in _STANDING:
            return _STANDING[value]
        return str(value) if isinstance(value, int) else f"'{_plain(value)}'"

    return _PLACE.sub(written, _COMMENT.sub("", f"{statement.sql}\n").rstrip())


def _plain(value: object) -> str:
    text = str(value)
    if re.search(r"[^\w :/.-]", text):
        raise ValueError(f"{text!r} is no text that can stand in a panel as it is")
    return text
