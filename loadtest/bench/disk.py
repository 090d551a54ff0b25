"""`python -m loadtest.bench.disk`: what each column of `events` takes on disk, and what another codec would change.

A stand gets the crowd of P3 and P11 (`drain.py`), everything is merged, and ClickHouse says the bytes of each column. Then
the same rows once more without their ids, which are emptied after 8 to 16 days, and with a region and a city each. With
`--page docs/performance.md` it writes the table between the marks of that page.

With `--try "MODIFY COLUMN x CODEC(...)"`, which may be given again, it makes a copy of the table with each of these
alone and one without any, and inserts the same rows into all of them, in turns: the CPU time of an INSERT, and what a
row then takes, merged.

Not promised: what your events take. The crowd's pages, referrers and campaigns are those of loadtest/load/corpus.py, and
its time is a minute: columns that repeat over months compress better, many small sites worse.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loadtest.bench import children, drain, machine, stand
from loadtest.bench.ask import BenchError
from loadtest.bench.baseline import Tables
from loadtest.bench.figures import markdown, text
from loadtest.bench.marks import replaced

if TYPE_CHECKING:
    from loadtest.bench.stand import Stand

MARK = "columns"
FILL_SECONDS = 20  # longer than P3's, so that a fill goes through the whole crowd on a busy machine too
CHANGED = "forebay.bench_changed"
SAMPLE = "forebay.bench_sample"
SAMPLE_ROWS = 20_000  # of one INSERT
INSERTS = 5  # in a turn
TURNS = 4
# Ids are emptied after 8 to 16 days. Region and city are empty unless there is a database that has them: here each visitor
# has one of up to 16 regions of his country, and one of up to 30 cities of that.
PLACES = {
    "region": "if(country = '', '', concat(country, '-', toString(visitor_id % 16)))",
    "city": "if(country = '', '', concat('City of ', country, ' ', toString(visitor_id % 480)))",
}
OTHERS = {
    "the same without ids": {"event_id": "''"},
    "with regions and cities": PLACES,
    "with regions and cities, without ids": PLACES | {"event_id": "''"},
}
STORED = """
SELECT name FROM system.columns WHERE database = 'forebay' AND table = 'events' AND default_kind NOT IN ('EPHEMERAL', 'ALIAS')
ORDER BY position
"""
COLUMNS = """
SELECT column, sum(column_bytes_on_disk) AS bytes FROM system.parts_columns
WHERE active AND database = 'forebay' AND table = {table:String} GROUP BY column ORDER BY bytes DESC, column
"""
PROJECTIONS = """
SELECT name, sum(bytes_on_disk) AS bytes FROM system.projection_parts
WHERE active AND database = 'forebay' AND table = {table:String} GROUP BY name ORDER BY bytes DESC
"""
TOTAL = """
SELECT sum(rows), sum(bytes_on_disk), uniqExact(part_type), any(part_type) FROM system.parts
WHERE active AND database = 'forebay' AND table = {table:String}
"""


class Arguments(argparse.Namespace):
    """Holds the command line, typed."""

    rows: int
    tried: list[str]
    page: Path | None


class Weights(NamedTuple):
    """Holds the rows of a merged table, its bytes, and the bytes of each of its columns and projections, largest first."""

    rows: int
    bytes: int
    columns: dict[str, int]
    projections: dict[str, int]

    def per_row(self, size: int) -> float:
        return size / self.rows


def weigh(tables: Tables, table: str) -> Weights:
    """Merges a table and asks for its bytes. Raises BenchError if a part does not keep its columns apart."""
    tables.run(f"OPTIMIZE TABLE {table} FINAL")
    named = {"table": table.partition(".")[2]}
    rows, size, kinds, kind = tables.rows(TOTAL, named)[0]
    if (kinds, kind) != (1, "Wide"):
        raise BenchError(f"{table} has parts whose columns can't be weighed: more rows are needed")
    columns = {str(name): int(found) for name, found in tables.rows(COLUMNS, named)}
    projections = {str(name): int(found) for name, found in tables.rows(PROJECTIONS, named)}
    return Weights(int(rows), int(size), columns, projections)


def copy(tables: Tables, to: str, change: str = "") -> None:
    """Makes a table like `events`, with a change."""
    tables.run(f"CREATE TABLE {to} AS forebay.events")
    if change:
        tables.run(f"ALTER TABLE {to} {change}")


def stored(tables: Tables) -> list[str]:
    """Returns the columns that are in files."""
    return [str(name) for (name,) in tables.rows(STORED)]


def changed(tables: Tables, values: dict[str, str]) -> Weights:
    """Returns what the rows of `events` take with other values in some columns, given as SQL."""
    names = stored(tables)
    copy(tables, CHANGED)
    said = ", ".join(f"{values[name]} AS {name}" if name in values else name for name in names)
    tables.run(f"INSERT INTO {CHANGED} ({', '.join(names)}) SELECT {said} FROM forebay.events")
    found = weigh(tables, CHANGED)
    tables.run(f"DROP TABLE {CHANGED} SYNC")
    return found


def rows_of(weights: Weights, others: dict[str, Weights]) -> list[list[str]]:
    """Returns the table of bytes an event: each column and projection, largest first, and what the other tables come to."""
    lines = [["column", "bytes an event", "share"]]
    rest = weights.bytes - sum(weights.columns.values()) - sum(weights.projections.values())
    parts = {f"`{name}`": size for name, size in weights.columns.items()}
    parts |= {f"projection `{name}`": size for name, size in weights.projections.items()}
    parts["indexes and the rest"] = rest
    for name, size in sorted(parts.items(), key=lambda part: -part[1]):
        lines.append([name, f"{weights.per_row(size):.2f}", f"{size / weights.bytes:.1%}"])
    lines.append(["**together**", f"**{weights.per_row(weights.bytes):.2f}**", ""])
    lines += [[f"**{name}**", f"**{other.per_row(other.bytes):.2f}**", ""] for name, other in others.items()]
    return lines


def tried(tables: Tables, on: Stand, changes: list[str]) -> list[list[str]]:
    """Returns the table of the changes: bytes an event, and the CPU time of an INSERT against the plain table's."""
    names = {f"forebay.bench_try_{number}": change for number, change in enumerate(["", *changes])}
    columns = ", ".join(stored(tables))
    tables.run(f"CREATE TABLE {SAMPLE} ENGINE = Memory AS SELECT {columns} FROM forebay.events LIMIT {SAMPLE_ROWS}")
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for name, change in names.items():
        copy(tables, name, change)
        tables.run(f"SYSTEM STOP MERGES {name}")
    for turn in range(TURNS):
        for name in list(names)[:: 1 if turn % 2 else -1]:
            usage = on.usage()
            for _ in range(INSERTS):
                tables.run(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {SAMPLE}")
            usage.look()
            cpu[name].append(usage.usage["clickhouse"].cpu_s / (INSERTS * SAMPLE_ROWS) * 1e6)
    lines = [["change", "bytes an event", "less", "INSERT us a row", "ratio"]]
    plain_bytes = plain_us = 0.0
    for name, change in names.items():
        tables.run(f"TRUNCATE TABLE {name}")
        tables.run(f"SYSTEM START MERGES {name}")
        tables.run(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM forebay.events")
        weights = weigh(tables, name)
        tables.run(f"DROP TABLE {name} SYNC")
        took, used = weights.per_row(weights.bytes), statistics.median(cpu[name])
        plain_bytes, plain_us = plain_bytes or took, plain_us or used
        lines.append(
            [change or "as it is", f"{took:.2f}", f"{plain_bytes - took:+.2f}", f"{used:.2f}", f"{used / plain_us:.2f}"]
        )
    return lines


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    _, core = children.cores()
    try:
        with tempfile.TemporaryDirectory(prefix="forebay-disk-") as home, ExitStack() as held:
            directory = Path(home)
            filled = held.enter_context(stand.running(directory, sys.executable, children.ROOT, **drain.SETTINGS))
            tables = held.enter_context(closing(Tables(filled.clickhouse_url)))
            rows = seed = 0
            while rows < arguments.rows:
                seed += 1
                # On a busy machine some answers come too late for wrk. What was accepted is stored and weighed all the same.
                with contextlib.suppress(BenchError):
                    drain.fill(filled, directory, seconds=FILL_SECONDS, core=core, seed=seed)
                rows = filled.accepted()
                filled.restart_flusher()
                filled.drained(rows)
                print(f"{rows:,} events stored", file=sys.stderr, flush=True)
            weights = weigh(tables, "forebay.events")
            lines = rows_of(weights, {name: changed(tables, values) for name, values in OTHERS.items()})
            print(text(lines))
            if arguments.page:
                day, where = time.strftime("%Y-%m-%d", time.gmtime()), machine.revision(children.ROOT)
                made = f"{markdown(lines)}\n\nOf {weights.rows:,} events, {day}, revision `{where}`."
                arguments.page.write_text(replaced(arguments.page.read_text("utf-8"), MARK, made), "utf-8")
            if arguments.tried:
                print(text(tried(tables, filled, arguments.tried)))
    except (BenchError, OSError) as error:
        print(f"loadtest.bench.disk: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser(prog="loadtest.bench.disk", description=(__doc__ or "").split("\n\n", 1)[0])
    add = parser.add_argument
    add(
        "--rows",
        type=int,
        default=850_000,
        help="events at least, as in P11's run of docs/measured.json (default: %(default)s)",
    )
    add("--try", dest="tried", action="append", default=[], metavar="CHANGE", help="an ALTER of `events` to measure")
    add("--page", type=Path, help="the page whose marked table is written anew")
    return parser.parse_args(argv, namespace=Arguments())


if __name__ == "__main__":
    raise SystemExit(main())
