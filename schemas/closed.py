"""Says what copies of closed days are made of, for the flusher that makes them and the dashboard that reads them (0012_closed_days.sql).

A *day* is a UTC day and a site's sessions that were opened on it. Its copy is a row for each part of a visit (`closed_visits`), and sums
of these rows (`closed_sums`): for each set of columns in SETS the parts that are equal in these columns are one row. Beside them stand
the acts of the same sessions (`closed_acts`), and sums of these by one column each (`closed_act_sums`, 0014_closed_acts.sql).
"""

from __future__ import annotations

DAY_SPAN = 86_400 << 32  # between the session ids of two days

# The sets of columns by which the parts of visits are summed up. A question that reads no other columns of visits reads the first set that
# has all of them, so small sets stand before large ones.
SETS: tuple[tuple[str, ...], ...] = (
    ("device", "screen_class"),
    ("browser",),
    ("os",),
    ("language",),
    ("country",),
    ("source_name", "channel"),
    ("browser", "browser_version"),
    ("os", "os_version"),
    ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
    ("country", "region", "city"),
    ("entry_hostname", "entry_path"),
    ("exit_hostname", "exit_path"),
    ("referrer",),
)
SUMMED = tuple(dict.fromkeys(column for columns in SETS for column in columns))
# The columns by which acts are summed up, by their numbers in `closed_act_sums`. The first sums up all acts.
ACT_COLUMNS = ("", "path", "name")
# What acts have of an event, under the same names: what it was, and from where and with what somebody came.
OF_EVENT = (
    "hostname", "path", "name", "currency", "country", "region", "city", "device", "screen_class", "browser", "browser_version", "os", "os_version",
    "language",
)  # fmt: skip
# The tables that hold copies, each with the columns `site`, `opened` and `copy`.
COPY_TABLES = ("closed_visits", "closed_sums", "closed_acts", "closed_act_sums")


def set_of(columns: set[str]) -> int | None:
    """Returns the number of the first set that has all of these columns; None if none has."""
    return next((number for number, one in enumerate(SETS) if columns <= set(one)), None)
