"""Declares every metric: from which columns of the catalogue it is computed, what it is divided by, and how it is rounded.

Rates divide by different numbers:

    percentage              visitors of the row, of the visitors of all rows with the same filters
    conversion_rate         visitors of the row, of all visitors without the filters by goal and property
    group_conversion_rate   visitors of the row, of those with the same dimensions without the filters by goal and property
    exit_rate               visits that ended with the page within the period, of visits that saw it
    bounce_rate             bounces of visits; by page, of the visits that began with it

A rate whose divisor is 0 is None. Halves are rounded away from zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

import msgspec

from dashboard.catalogue.contract import Refused

# Where the columns of a measure are: `plans` chooses the file for visitors, visits and rows; the others are names of files.
Kind = Literal["visitors", "visits", "rows", "page_times", "revenue"]
Divisor = Literal["", "all", "unconverted", "group", "page"]


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """Holds one number: which columns it is made of, and how.

    It is the first column times `factor`, divided by the second column or, if there is a `divisor`, by the last column there; rounded to
    `places` decimals. `unit` decides how two such numbers are compared: rates in points, all others in percent.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    divisor: Divisor = ""
    factor: Decimal = Decimal(1)
    places: int = 0
    unit: Literal["count", "mean", "rate", "money"] = "count"

    @property
    def order(self) -> str:
        """Returns the expression of columns that sorts rows as this number does, or an empty text where two files are needed."""
        if self.unit == "money" or self.divisor in ("group", "page"):
            return ""
        return " / ".join(self.columns)

    def value(self, numbers: Mapping[str, int], divisor: int | None = None) -> Any:
        """Returns the number, from the columns of a row, which is empty where the file has no such row."""
        if self.unit == "count":
            return int(numbers.get(self.columns[0], 0))
        whole = divisor if self.divisor else numbers.get(self.columns[1])
        if not whole:
            return None
        return rounded(Decimal(numbers.get(self.columns[0], 0)) * self.factor / whole, self.places)


def _count(name: str, kind: Kind) -> Measure:
    return Measure(name=name, kind=kind, columns=(name,))


def _share(name: str, divisor: Divisor, *columns: str, kind: Kind = "visitors") -> Measure:
    columns = columns or ("visitors",)
    return Measure(name=name, kind=kind, columns=columns, divisor=divisor, factor=Decimal(100), places=1, unit="rate")


_TABLE = (
    _count("visitors", "visitors"),
    _count("visits", "visits"),
    _count("pageviews", "rows"),
    _count("events", "rows"),
    Measure(name="views_per_visit", kind="visits", columns=("pageviews", "visits"), places=2, unit="mean"),
    Measure(name="bounce_rate", kind="visits", columns=("bounces", "visits"), factor=Decimal(100), unit="rate"),
    Measure(name="visit_duration", kind="visits", columns=("seconds", "visits"), unit="mean"),
    Measure(
        name="time_on_page", kind="page_times", columns=("engaged_ms", "views"), factor=Decimal("0.001"), unit="mean"
    ),
    Measure(name="scroll_depth", kind="page_times", columns=("scroll_pct", "views"), unit="mean"),
    _share("percentage", "all"),
    _share("conversion_rate", "unconverted"),
    _share("group_conversion_rate", "group"),
    _share("exit_rate", "page", "exits", "visits", kind="visits"),
    Measure(name="total_revenue", kind="revenue", columns=("revenue",), unit="money"),
    Measure(name="average_revenue", kind="revenue", columns=("revenue", "purchases"), unit="money"),
)
MEASURES = {one.name: one for one in _TABLE}


def measure_of(name: str) -> Measure:
    """Returns the measure of a name. Raises Refused."""
    found = MEASURES.get(name)
    if found is None:
        raise Refused(f"The metric '{name[:100]}' is not known. Known: {', '.join(MEASURES)}.")
    return found


def rounded(number: Decimal, places: int) -> int | float:
    """Returns a number rounded half away from zero: whole as int, else as float."""
    found = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return float(found) if places else int(found)


def money(measure: Measure, sums: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """Returns amounts by currency, as decimal texts: never a sum of two currencies. `sums` has amount and purchases of each."""
    found = {}
    for currency, (amount, purchases) in sorted(sums.items()):
        value = Decimal(amount)
        if len(measure.columns) > 1:
            value = (value / purchases).quantize(Decimal("0.0001"), ROUND_HALF_UP)
        found[currency] = f"{value:.4f}"
    return found


def with_names(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> list[list[Any]]:
    """Returns rows of goals, whose first value is the number of a goal from 1, with the name in its place."""
    return [[names[row[0] - 1], *row[1:]] for row in rows]


STEP_COLUMNS = ("step", "visitors", "conversion_rate", "drop_off")


def steps_of(levels: Sequence[Sequence[int]], steps: Sequence[str]) -> list[list[Any]]:
    """Returns a row for each step of a funnel, of how many visitors got exactly how far.

    `conversion_rate` is of those who took the first step, `drop_off` of those who took the step before and not this one.
    """
    exactly = {row[0]: row[1] for row in levels}
    reached = [sum(count for level, count in exactly.items() if level >= number) for number in range(1, len(steps) + 1)]
    return [
        [name, count, share(count, reached[0]), share(before - count, before)]
        for name, count, before in zip(steps, reached, [reached[0], *reached], strict=False)
    ]


COHORT_COLUMNS = ("cohort", "age", "people", "percentage")


def cohorts_of(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Returns rows of cohort, age and people with the percentage of the cohort that these people are. Age 0 is the cohort itself."""
    sizes = {cohort: people for cohort, age, people in rows if not age}
    return [[cohort, age, people, share(people, sizes[cohort])] for cohort, age, people in rows]


def share(part: int, whole: int) -> float | None:
    """Returns how many percent a part is of a whole, with one decimal; None of nothing."""
    return float(rounded(Decimal(part) * 100 / whole, 1)) if whole else None


def change(name: str, now: Any, before: Any) -> int | float | None:
    """Returns how much a number grew: in percent, of a rate in points; None where there is nothing to compare.

    From nothing to something is 100 percent.
    """
    if now is None or before is None or isinstance(now, dict) or isinstance(before, dict):
        return None
    measure = measure_of(name)
    if measure.unit == "rate":
        return rounded(Decimal(str(now)) - Decimal(str(before)), measure.places)
    if not before:
        return 100 if now else 0
    return rounded((Decimal(str(now)) - Decimal(str(before))) * 100 / Decimal(str(before)), 0)
