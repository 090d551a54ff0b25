"""Writes a result as a few lines for people; page.py draws it."""

from __future__ import annotations

from typing import Any


def summary(figures: dict[str, Any]) -> str:
    """Returns what a person wants to know of a run, in one or two dozen lines."""
    plan, computer, events = figures["plan"], figures["machine"], figures["events"]
    place = f"{computer['cpu']}, {computer['cores']} cores"
    refused, unclear = sum(events["refused"].values()), sum(events["unclear"].values())
    latency = figures["latency_ms"]
    times = "  ".join(f"{name} {latency[name]:.2f}" for name in ("p50", "p99", "p99.9", "max"))
    lines = [
        f"offered       {figures['offered_per_s']:,.0f} events/s, {plan['duration_s']:g} s, {_sizes(plan)}; on {place}",
        f"achieved      {figures['achieved_per_s']:,.0f} events/s acknowledged, {events['acknowledged']:,} in all",
        f"latency       {times} ms, from the moment due",
        *_fresh(figures),
        f"not taken     refused {refused:,}  rejected {events['rejected']:,}  unclear {unclear:,}  unsent {events['unsent']:,}",
    ]
    if refused:
        lines.append(f"refused with  {events['refused']}")
    if not events["acknowledged"]:
        lines.append("WARNING       nothing was acknowledged")
    lines += _generators(figures) + _cost(figures) + _outage(figures)
    if figures["connections_limited"]:
        lines.append("note          all connections were busy at times: a slow server, or too few --connections")
    return "\n".join(lines + _reconciled(figures))


def _sizes(plan: dict[str, Any]) -> str:
    sizes = [size for size, _ in plan["bodies"]]
    return f"{sizes[0]} a request" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)} a request"


def _fresh(figures: dict[str, Any]) -> list[str]:
    found = figures["freshness_ms"]
    if found is None:
        return []
    return [
        "freshness     "
        + "  ".join(f"{name} {found[name] / 1000:.2f}" for name in ("p50", "p99", "max"))
        + f" s from accepted to visible, of {found['sampled']:,} rows"
    ]


def _generators(figures: dict[str, Any]) -> list[str]:
    lag, all_ = figures["lag_ms"], figures["generators"]
    shares = ", ".join(f"{one['cpu_share']:.0%}" for one in all_)
    lines = [f"own lag       p50 {lag['p50']:.2f}  p99 {lag['p99']:.2f}  max {lag['max']:.2f} ms; {shares} of a core"]
    if figures["generator_starved"]:
        worst = max(one["starved_share"] for one in all_)
        lines.append(
            f"WARNING       the machine is out of CPU: the generator waited for a core {worst:.0%} of the time,"
            " and latencies include that"
        )
    if figures["generator_limited"]:
        lines.append(
            "WARNING       the generator could not keep its clock: these figures are not the server's."
            " A lower --rate, or more --generators on free cores"
        )
    return lines


def _cost(figures: dict[str, Any]) -> list[str]:
    cost, lines = figures["cost"], []
    if cost["cpu_s_per_million"] is not None:
        names = [name for name in cost["processes"] if name not in {"generators", "watcher"}]
        parts = ", ".join(f"{name} {cost['processes'][name]['cpu_s_per_million']:.1f}" for name in names)
        memory = ", ".join(f"{name} {cost['processes'][name]['rss_mb_max']:.0f}" for name in names)
        lines += [
            f"CPU           {cost['cpu_s_per_million']:.1f} s per million events: {parts}",
            f"memory        MB at most: {memory}",
        ]
    if cost.get("disk"):
        lines.append(f"on disk       {cost['disk']['bytes_per_event']:.1f} bytes an event, merged")
    if cost.get("redis"):
        lines.append(
            f"in Redis      {cost['redis']['bytes_per_event']:.1f} bytes an event,"
            f" {cost['redis']['events_per_entry']:.0f} events an entry"
        )
    return lines + [f"note          {text}" for text in cost.get("faults", ())]


def _outage(figures: dict[str, Any]) -> list[str]:
    found = figures["outage"]
    if found is None:
        return []
    before, during = found["latency_p99_ms_before"], found["latency_p99_ms_during"]
    when = f"{found['what']} from {found['began_s']:.1f} to {found['ended_s']:.1f} s"
    lines = [f"outage        {when}; latency p99 {_ms(before)} before, {_ms(during)} during"]
    if found["catch_up"] is None:
        lines.append("catch-up      not seen: it lasted beyond the end, or the run was too short")
    else:
        lines.append(
            f"catch-up      {found['waiting_max']:,} events waited; caught up after {found['caught_up_after_s']:.1f} s"
            f" at {found['drain_per_s']:,.0f} events/s, {found['catch_up']:.1f} times the live rate"
        )
    return lines


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} ms"


def _reconciled(figures: dict[str, Any]) -> list[str]:
    found = figures["verify"]
    if found is None:
        return [f"reconciled    no: {figures['unverified']}"]
    after = found["stored_after_s"]
    when = f"; all stored {after:.1f} s after the end" if after is not None and not found["lost"] else ""
    faults = f"lost {found['lost']:,}  duplicated {found['duplicated']:,}  foreign {found['foreign']:,}"
    faults += f"  unclear but stored {found['stored']['unclear']:,}"
    return [
        f"reconciled    {'EXACT' if found['is_exact'] else 'NOT EXACT'}: {faults}{when}",
        f"rollups       {'agree' if found['rollups_agree'] else 'DISAGREE: ' + str(found['rollups'])}",
        *(f"  lost {name}" for name in found["lost_sample"]),
        *(f"  duplicated {name}" for name in found["duplicated_sample"]),
    ]


def table(rungs: list[dict[str, Any]]) -> str:
    """Returns the rungs of a sweep as a table, in the order in which they were climbed."""
    lines = ["  offered/s  acknowledged/s  p50 ms   p99 ms  stored after  CPU s/M  generator  verdict"]
    for rung in rungs:
        after = "never" if rung["stored_after_s"] is None else f"{rung['stored_after_s']:.1f} s"
        cpu = "" if rung["cpu_s_per_million"] is None else f"{rung['cpu_s_per_million']:.1f}"
        lines.append(
            f"{rung['offered_per_s']:>11,.0f}  {rung['achieved_per_s']:>14,.0f}  {rung['p50_ms']:>6.1f}"
            f"  {rung['p99_ms']:>7.1f}  {after:>12}  {cpu:>7}  {rung['generator_cpu_share']:>8.0%}"
            f"   {rung['verdict']}"
        )
    return "\n".join(lines)


def knee(figures: dict[str, Any]) -> str:
    """Returns a sweep as text: its rungs, what they found, and the run at 70 %."""
    lines = [table(figures["rungs"]), ""]
    if not figures["knee_per_s"]:
        lines.append("knee          not found: no rung passed")
    else:
        failed = figures["failed_per_s"]
        ceiling = f"{failed:,.0f} failed" if failed else "none failed in the time there was"
        lines.append(
            f"knee          {figures['knee_per_s']:,.0f} events/s stored within"
            f" {figures['settings']['stored_within_s']:g} s of a rung's end; {ceiling}"
        )
    if figures["generator_limited"]:
        lines.append("WARNING       the generator was the limit: the server's knee is higher")
    if figures["final"] is not None:
        lines += ["", f"At 70 % of it, {figures['final']['offered_per_s']:,.0f} events/s:", summary(figures["final"])]
    return "\n".join(lines)
