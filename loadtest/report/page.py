"""Draws a result as one page of HTML that needs nothing else: no script, no request, in light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from loadtest.report.chart import COLOURS, Chart, Line, draw, number

if TYPE_CHECKING:
    from pathlib import Path

# Pairs for light and dark, with a contrast of at least 3 against their background; the colour-blind can tell them apart.
LINES = (
    ("#1f5fbf", "#7db2ff"), ("#b3470b", "#ff9d5c"), ("#15795b", "#4fd0a5"), ("#8a2f8f", "#e08be4"),
    ("#7a6300", "#e0c04a"), ("#b0224d", "#ff86a8"), ("#0d7488", "#5fd3ea"), ("#55606e", "#aab6c4"),
)  # fmt: skip
assert len(LINES) == COLOURS
STYLE = """
*{box-sizing:border-box}
:root{color-scheme:light dark;--ink:#1b2430;--soft:#556070;--ground:#f6f7f9;--card:#fff;--rule:#dde2e8;
--good:#12694c;--bad:#ad1f3c;--warn:#7d5200;--band:#b3470b22;LIGHT}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf3;--soft:#a3afbd;--ground:#12161c;--card:#1a2029;--rule:#323b47;
--good:#5fd6a8;--bad:#ff8fa6;--warn:#f0bd5a;--band:#ff9d5c26;DARK}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1200px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 4px}h2{font-size:1.15rem;margin:36px 0 12px}h3{font-size:1rem;margin:0}
h3 small{font-weight:400;color:var(--soft)}p{margin:0}.soft,figcaption p,.none{color:var(--soft);font-size:.875rem}
.verdicts{list-style:none;margin:16px 0;padding:0;display:grid;gap:8px}
.verdicts li{background:var(--card);border:1px solid var(--rule);border-left:6px solid var(--soft);border-radius:6px;padding:8px 12px}
.verdicts .good{border-left-color:var(--good)}.verdicts .bad{border-left-color:var(--bad)}.verdicts .warn{border-left-color:var(--warn)}
.verdicts .good b{color:var(--good)}.verdicts .bad b{color:var(--bad)}.verdicts .warn b{color:var(--warn)}
.cards{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));margin:0}
.cards div,figure,.box{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px}
.cards dt{color:var(--soft);font-size:.8125rem}.cards dd{margin:0;font-size:1.35rem;font-weight:600;line-height:1.3;
font-variant-numeric:tabular-nums}.cards dd small{font-size:.8125rem;font-weight:400;color:var(--soft)}
.charts{display:grid;gap:16px;grid-template-columns:minmax(0,1fr)}@media(min-width:900px){.charts{grid-template-columns:repeat(2,minmax(0,1fr))}}
figure{margin:0;min-width:0}figure>svg{display:block;width:100%;height:auto}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0;padding:0;font-size:.8125rem}
.legend svg{width:26px;height:8px;margin-right:6px;vertical-align:middle}
path{fill:none;stroke-width:2;stroke-linejoin:round}.grid{stroke:var(--rule)}.axis{stroke:var(--soft)}
.tick{fill:var(--soft);font-size:12px}.mark{fill:var(--ink);font-size:11px}.band{fill:var(--band)}
.narrow{display:none!important}@media(max-width:599px){.wide{display:none!important}.narrow{display:block!important}}
details{margin-top:8px;font-size:.875rem}summary{cursor:pointer;color:var(--soft);padding:4px 0}
.scroll{overflow-x:auto;max-height:340px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.875rem}
th,td{padding:5px 10px;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}thead th{font-weight:600;color:var(--soft);vertical-align:bottom}
tbody th{font-weight:500}td.good{color:var(--good)}td.bad{color:var(--bad)}
:focus-visible{outline:2px solid var(--line-0);outline-offset:2px}
@media print{details{display:none}body{background:#fff}}
"""


def write(path: Path, figures: dict[str, Any]) -> None:
    """Writes the page of a run or a sweep. Replaces the file in one step."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(html(figures), "utf-8")
    unfinished.replace(path)


def html(figures: dict[str, Any]) -> str:
    body = _sweep(figures) if figures.get("kind") == "sweep" else _run(figures)
    title = f"Load test: {figures['profile']}, {figures['at'][:10]}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_style()}</style></head><body><main>{body}</main></body></html>\n"
    )


def _style() -> str:
    light, dark = ("".join(f"--line-{index}:{pair[mode]};" for index, pair in enumerate(LINES)) for mode in (0, 1))
    rules = "".join(
        f"path.line-{index}{{stroke:var(--line-{index})}}circle.line-{index}{{fill:var(--line-{index})}}"
        for index in range(COLOURS)
    )
    return STYLE.replace("LIGHT", light).replace("DARK", dark) + rules


def _run(figures: dict[str, Any]) -> str:
    plan = figures["plan"]
    head = (
        f"<h1>Load test: {escape(figures['profile'])}, {number(figures['offered_per_s'])} events/s"
        f" for {plan['duration_s']:g} s</h1>{_where(figures)}"
    )
    return head + _verdicts(figures) + _cards(figures) + _charts(figures) + _processes(figures)


def _where(figures: dict[str, Any]) -> str:
    computer = figures["machine"]
    words = [figures["at"], f"{computer['cpu']}, {computer['cores']} cores", f"Forebay {computer['forebay']}"]
    words += [f"ClickHouse {computer['clickhouse']}"] if computer.get("clickhouse") else []
    return f'<p class="soft">{escape(" · ".join(words))}</p>'


def _verdicts(figures: dict[str, Any]) -> str:
    found = figures["verify"]
    items = []
    if found is None:
        items.append(("warn", "Not reconciled.", figures["unverified"]))
    else:
        text = f"lost {found['lost']:,}, duplicated {found['duplicated']:,} of {figures['events']['acknowledged']:,} acknowledged events"
        text += "; rollups agree" if found["rollups_agree"] else "; rollups DISAGREE with the raw rows"
        items.append(("good", "Exact.", text) if found["is_exact"] else ("bad", "Not exact.", text))
    if figures["generator_limited"]:
        items.append(
            ("bad", "The generator was the limit.", "It could not keep its clock: these figures are not the server's.")
        )
    if figures["generator_starved"]:
        worst = max(one["starved_share"] for one in figures["generators"])
        items.append(
            (
                "warn",
                "The machine was out of CPU.",
                f"The generator waited for a core {worst:.0%} of the time; latencies include that.",
            )
        )
    if figures["connections_limited"]:
        items.append(("warn", "All connections were busy at times.", "A slow server, or too few connections."))
    if figures["stopped_early"]:
        items.append(("warn", "Stopped early.", "The run was ended before its time."))
    outage = figures["outage"]
    if outage is not None:
        text = f"{outage['what']} from {outage['began_s']:.1f} to {outage['ended_s']:.1f} s; "
        text += (
            "the backlog was not seen to be gone"
            if outage["catch_up"] is None
            else f"caught up {outage['caught_up_after_s']:.1f} s after its end, at {outage['catch_up']:.1f} times the live rate"
        )
        items.append(("warn", "Outage.", text))
    rows = "".join(f'<li class="{kind}"><b>{bold}</b> {escape(text)}</li>' for kind, bold, text in items)
    return f'<ul class="verdicts">{rows}</ul>'


def _cards(figures: dict[str, Any]) -> str:
    latency, fresh, cost, events = figures["latency_ms"], figures["freshness_ms"], figures["cost"], figures["events"]
    missed = events["rejected"] + events["unsent"] + sum(events["refused"].values()) + sum(events["unclear"].values())
    cards = [
        ("Acknowledged", number(figures["achieved_per_s"]), "events/s"),
        ("Latency p50", number(latency["p50"]), "ms"),
        ("Latency p99", number(latency["p99"]), "ms"),
        ("Latency p99.9", number(latency["p99.9"]), "ms"),
        ("Freshness p99", number(fresh["p99"] / 1000), "s") if fresh else None,
        ("Not taken", number(missed), "events"),
        ("CPU", number(cost["cpu_s_per_million"]), "s per million events")
        if cost["cpu_s_per_million"] is not None
        else None,
        ("On disk", number(cost["disk"]["bytes_per_event"]), "bytes an event") if cost.get("disk") else None,
        ("In Redis", number(cost["redis"]["bytes_per_event"]), "bytes an event") if cost.get("redis") else None,
        ("Catch-up", number(figures["outage"]["catch_up"]), "× the live rate")
        if figures["outage"] and figures["outage"]["catch_up"] is not None
        else None,
        ("Generator's lag p99", number(figures["lag_ms"]["p99"]), "ms"),
    ]
    items = "".join(
        f"<div><dt>{card[0]}</dt><dd>{card[1]} <small>{card[2]}</small></dd></div>" for card in cards if card
    )
    return f'<dl class="cards">{items}</dl>'


def _charts(figures: dict[str, Any]) -> str:
    rows = figures["seconds"]
    sent = [row for row in rows if "p50_ms" in row]
    outage = figures["outage"]
    bands = [(outage["began_s"], outage["ended_s"], outage["what"])] if outage else []

    def of(name: str, found: list[dict[str, Any]], factor: float = 1.0) -> list[tuple[float, float | None]]:
        return [(row["second"], None if row.get(name) is None else row[name] * factor) for row in found]

    lines = [Line("offered", of("offered", rows)), Line("acknowledged", of("acknowledged", rows))]
    if any(row.get("stored") for row in rows):
        lines.append(Line("stored", _gains(rows)))
    if any(row["refused"] or row["unclear"] or row["unsent"] for row in sent):
        lines.append(Line("errors", [(row["second"], row["refused"] + row["unclear"] + row["unsent"]) for row in sent]))
    names = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99", "p999_ms": "p99.9"}
    charts = [
        Chart(title="Throughput", unit="events/s", lines=lines, bands=bands),
        Chart(
            title="Latency",
            unit="ms, logarithmic",
            about="From the moment a request was due to its answer.",
            lines=[Line(name, [(at, value or None) for at, value in of(key, sent)]) for key, name in names.items()],
            is_log=True,
            bands=bands,
        ),
        Chart(
            title="Freshness",
            unit="s",
            about="From accepted to visible in a SELECT, by when it became visible.",
            lines=[Line(name, of(f"freshness_{name}_ms", rows, 0.001)) for name in ("p50", "p99")],
            bands=bands,
        ),
        Chart(title="Waiting", unit="events acknowledged, not yet visible", lines=_waiting(rows), bands=bands),
        *(
            Chart(title=title, unit=unit, lines=_by_process(rows, key), bands=bands)
            for title, unit, key in (
                ("CPU", "cores, by process", "cpu"),
                ("Memory", "MB resident, by process", "rss_mb"),
            )
        ),
    ]
    return f'<h2>Second by second</h2><div class="charts">{"".join(map(draw, charts))}</div>'


def _gains(rows: list[dict[str, Any]]) -> list[tuple[float, float | None]]:
    totals = [row.get("stored", 0) for row in rows]
    before = [0, *totals]
    return [(row["second"], max(0, total - last)) for row, total, last in zip(rows, totals, before, strict=False)]


def _waiting(rows: list[dict[str, Any]]) -> list[Line]:
    if not any(row.get("stored") for row in rows):
        return []
    points: list[tuple[float, float | None]] = []
    acknowledged = 0
    for row in rows:
        acknowledged += row["acknowledged"]
        points.append((row["second"], max(0, acknowledged - row.get("stored", 0))))
    return [Line("waiting", points)]


def _by_process(rows: list[dict[str, Any]], key: str) -> list[Line]:
    names = list(dict.fromkeys(name for row in rows for name in row["processes"]))
    return [Line(name, [(row["second"], row["processes"].get(name, {}).get(key)) for row in rows]) for name in names]


def _processes(figures: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            f"<td>{number(one[key])}</td>" for key in ("cpu_s", "cpu_s_per_million", "rss_mb_median", "rss_mb_max")
        )
        + "</tr>"
        for name, one in figures["cost"]["processes"].items()
    )
    heads = ("process", "CPU s", "CPU s per million events", "MB, median", "MB, most")
    return f"<h2>What it cost</h2>{_boxed('What it cost', heads, rows)}"


def _boxed(name: str, heads: tuple[str, ...], rows: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="box scroll" tabindex="0" role="region" aria-label="{name}"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _sweep(figures: dict[str, Any]) -> str:
    knee = figures["knee_per_s"]
    title = f"Knee: {number(knee)} events/s" if knee else "Knee: not found"
    within = (
        f"Everything offered was stored within {figures['settings']['stored_within_s']:g} s of a rung's end, exactly."
    )
    items = [("good", "Passed.", within) if knee else ("bad", "No rung passed.", "Try a lower first rate.")]
    if figures["generator_limited"]:
        items.append(("bad", "The generator was the limit.", "The server's knee is higher."))
    verdicts = "".join(f'<li class="{kind}"><b>{bold}</b> {escape(text)}</li>' for kind, bold, text in items)
    final = figures["final"]
    after = (
        f"<h2>At 70 % of the knee</h2>{_run(final)}".replace("<h1>", "<h3>").replace("</h1>", "</h3>") if final else ""
    )
    return (
        f"<h1>{title} <small>({escape(figures['profile'])})</small></h1>{_where(figures)}"
        f'<ul class="verdicts">{verdicts}</ul><h2>Rungs</h2>{_rungs(figures["rungs"])}'
        f'<h2>Against the offered rate</h2><div class="charts">{_rung_charts(figures["rungs"])}</div>{after}'
    )


def _rungs(rungs: list[dict[str, Any]]) -> str:
    heads = ("offered/s", "acknowledged/s", "p50 ms", "p99 ms", "p99.9 ms", "stored after", "CPU s per million", "generator", "verdict")  # fmt: skip
    rows = ""
    for rung in rungs:
        after = "never" if rung["stored_after_s"] is None else f"{rung['stored_after_s']:.1f} s"
        cpu = "" if rung["cpu_s_per_million"] is None else number(rung["cpu_s_per_million"])
        cells = [number(rung[key]) for key in ("achieved_per_s", "p50_ms", "p99_ms", "p999_ms")]
        cells += [after, cpu, f"{rung['generator_cpu_share']:.0%}"]
        rows += f'<tr><th scope="row">{number(rung["offered_per_s"])}</th>' + "".join(
            f"<td>{cell}</td>" for cell in cells
        )
        rows += f'<td class="{"good" if rung["passed"] else "bad"}">{escape(rung["verdict"])}</td></tr>'
    return _boxed("Rungs", heads, rows)


def _rung_charts(rungs: list[dict[str, Any]]) -> str:
    ordered = sorted(rungs, key=lambda rung: float(rung["offered_per_s"]))

    def of(key: str) -> list[tuple[float, float | None]]:
        return [(rung["offered_per_s"], rung[key]) for rung in ordered]

    axis = "offered events/s"
    charts = (
        Chart(
            title="Throughput",
            unit="events/s",
            lines=[Line("offered", of("offered_per_s")), Line("acknowledged", of("achieved_per_s"))],
            x_title=axis,
            has_dots=True,
        ),
        Chart(
            title="Latency",
            unit="ms, logarithmic",
            lines=[Line(name, of(key)) for name, key in (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms"))],
            x_title=axis,
            is_log=True,
            has_dots=True,
        ),
        Chart(title="Stored after", unit="s after the end", lines=[Line("all visible", of("stored_after_s"))], x_title=axis, has_dots=True),
        Chart(title="CPU", unit="s per million events", lines=[Line("without the generator", of("cpu_s_per_million"))], x_title=axis, has_dots=True),
    )  # fmt: skip
    return "".join(map(draw, charts))
