"""Draws line charts as SVG: static, self-contained, readable at two widths, with their numbers as a table.

Each is drawn twice, wide and narrow, and the page's CSS shows one of them, because scaling one drawing to a phone would
leave letters of six pixels. Lines differ by dash as well as by colour. Colours are the page's variables `--line-0` and
so on, so that CSS decides on light and dark.

Not promised: interaction. The table gives the value of each point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

POINTS_MAX = 400  # of one line: more than one point a pixel can't be seen
ROWS_MAX = 60  # of the table
COLOURS = 8
DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4", "4 6", "1 5", "8 3 2 3 2 3")
SIZES = (("wide", 560, 270), ("narrow", 358, 240))
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 14, 40


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    points: list[tuple[float, float | None]]  # by x, ascending; None is a gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    unit: str  # of y
    lines: list[Line]
    x_title: str = "seconds"
    about: str = ""
    is_log: bool = False
    bands: Sequence[tuple[float, float, str]] = ()  # (from, until, what) on x, shaded
    has_dots: bool = False


@dataclass(slots=True)
class _Scale:
    """Maps values to pixels between two ends."""

    low: float
    high: float
    from_px: float
    until_px: float
    is_log: bool = False
    ticks: list[float] = field(default_factory=list)

    def at(self, value: float) -> float:
        low, high, value = (math.log10(max(one, 1e-9)) if self.is_log else one for one in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.from_px + min(1.0, max(0.0, share)) * (self.until_px - self.from_px)


def draw(chart: Chart) -> str:
    """Returns a chart as a figure of HTML: title, legend, drawing, table."""
    lines = [line for line in chart.lines if any(value is not None for _, value in line.points)]
    head = f"<figure><figcaption><h3>{escape(chart.title)} <small>{escape(chart.unit)}</small></h3>"
    head += f"<p>{escape(chart.about)}</p>" if chart.about else ""
    head += "</figcaption>"
    if not lines:
        return f'{head}<p class="none">Not measured in this run.</p></figure>'
    drawings = "".join(_svg(chart, lines, *size) for size in SIZES)
    return f"{head}{_legend(lines)}{drawings}{_table(chart, lines)}</figure>"


def number(value: float) -> str:
    """Formats a number so short that it fits on an axis and in a table."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.3g} M"
    if size >= 100_000:
        return f"{value / 1e3:.4g} k"
    return f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.3g}"


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Returns about so many round values, from at most `low` to at least `high`."""
    rough = max(high - low, 1e-9) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Returns the powers of ten around both values, with 3 times each between them if there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    whole = [10.0**power for power in range(first, last + 1)]
    return sorted(whole + [3 * one for one in whole[:-1]]) if last - first <= 3 else whole


def _svg(chart: Chart, lines: list[Line], kind: str, width: int, height: int) -> str:
    x, y = _scales(chart, lines, width, height)
    parts = list(_grid(chart, x, y, width, height))
    for at, until, what in chart.bands:
        left, right = x.at(at), x.at(until)
        parts.append(
            f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{max(1.0, right - left):.1f}"'
            f' height="{height - TOP - BOTTOM}"/>'
            f'<text class="mark" x="{left + 3:.1f}" y="{TOP + 11}">{escape(what)}</text>'
        )
    for index, line in enumerate(lines):
        parts.append(_path(line, index, x, y))
        if chart.has_dots:
            parts += [
                f'<circle class="line-{index % COLOURS}" cx="{x.at(at):.1f}" cy="{y.at(value):.1f}" r="3"/>'
                for at, value in line.points
                if value is not None
            ]
    name = escape(
        f"{chart.title}, {chart.unit}: {', '.join(line.name for line in lines)}. The table below has the numbers."
    )
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _scales(chart: Chart, lines: list[Line], width: int, height: int) -> tuple[_Scale, _Scale]:
    points = [(at, value) for line in lines for at, value in line.points if value is not None]
    xs = [at for line in lines for at, _ in line.points] + [edge for band in chart.bands for edge in band[:2]]
    ys = [value for _, value in points if value > 0 or not chart.is_log] or [1.0]
    x = _Scale(min(xs), max(xs), LEFT, width - RIGHT)
    x.ticks = [tick for tick in nice_ticks(x.low, x.high, width // 90) if x.low <= tick <= x.high]
    if chart.is_log:
        ticks = log_ticks(min(ys), max(ys))
    else:
        ticks = nice_ticks(min(0.0, *ys), max(*ys, 1e-6) if len(ys) > 1 else max(ys[0], 1e-6), 4)
    y = _Scale(ticks[0], ticks[-1], height - BOTTOM, TOP, chart.is_log, ticks)
    return x, y


def _grid(chart: Chart, x: _Scale, y: _Scale, width: int, height: int) -> Iterator[str]:
    for tick in y.ticks:
        at = y.at(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(tick)}</text>'
    for tick in x.ticks:
        at = x.at(tick)
        yield f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{height - BOTTOM}" y2="{height - BOTTOM + 4}"/>'
        yield f'<text class="tick" x="{at:.1f}" y="{height - BOTTOM + 17}" text-anchor="middle">{number(tick)}</text>'
    yield f'<text class="tick" x="{width - RIGHT}" y="{height - 5}" text-anchor="end">{escape(chart.x_title)}</text>'


def _path(line: Line, index: int, x: _Scale, y: _Scale) -> str:
    words: list[str] = []
    is_down = False
    for at, value in _thinned(line.points):
        if value is None or (y.is_log and value <= 0):
            is_down = False
            continue
        words.append(f"{'L' if is_down else 'M'}{x.at(at):.1f} {y.at(value):.1f}")
        is_down = True
    dash = DASHES[index % len(DASHES)]
    style = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="line-{index % COLOURS}" d="{"".join(words)}"{style}/>'


def _thinned(points: list[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """Keeps the largest value of each stretch of points, so that no peak vanishes."""
    if len(points) <= POINTS_MAX:
        return points
    size = math.ceil(len(points) / POINTS_MAX)
    stretches = (points[start : start + size] for start in range(0, len(points), size))
    return [max(stretch, key=lambda point: -1.0 if point[1] is None else point[1]) for stretch in stretches]


def _legend(lines: list[Line]) -> str:
    items = "".join(
        f'<li><svg viewBox="0 0 26 8" aria-hidden="true"><path class="line-{index % COLOURS}" d="M1 4L25 4"'
        f' stroke-dasharray="{DASHES[index % len(DASHES)]}"/></svg>{escape(line.name)}</li>'
        for index, line in enumerate(lines)
    )
    return f'<ul class="legend">{items}</ul>'


def _table(chart: Chart, lines: list[Line]) -> str:
    xs = sorted({at for line in lines for at, _ in line.points})
    step = math.ceil(len(xs) / ROWS_MAX)
    values = [dict(line.points) for line in lines]
    rows = []
    for at in xs[::step]:
        cells = (found.get(at) for found in values)
        text = "".join(f"<td>{'' if value is None else number(value)}</td>" for value in cells)
        rows.append(f'<tr><th scope="row">{number(at)}</th>{text}</tr>')
    names = "".join(f'<th scope="col">{escape(line.name)}</th>' for line in lines)
    every = f", one of {step} rows" if step > 1 else ""
    return (
        f'<details><summary>The numbers{every}</summary><div class="scroll" tabindex="0" role="region"'
        f' aria-label="{escape(chart.title)}, the numbers"><table><thead><tr><th scope="col">{escape(chart.x_title)}</th>'
        f"{names}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )
