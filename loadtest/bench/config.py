"""Reads what the bench is asked to do, and makes the environment of the processes that it starts."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from loadtest.bench.figures import MEASURED, TARGETS

SETTINGS = "FOREBAY_"
# The bound of the whole run, under ten minutes: the sweeps get what P1 to P3, P9, the low rates (14 s) and P13 leave of
# it, and end within a minute of their own bound.
SECONDS_MAX = 500
ORDER = {name: at for at, name in enumerate(TARGETS)}


class Arguments(argparse.Namespace):
    """Holds the command line, typed."""

    only: list[str]
    rounds: int
    seconds: int
    json: Path | None


def parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser(
        prog="loadtest.bench",
        description="Measures the targets of docs/performance.md, each beside its baseline, on two cores of this"
        " machine. Exit status: 0 measured, 1 a figure failed, 2 it could not begin.",
    )
    add = parser.add_argument
    add("--only", type=_names, default=list(MEASURED), metavar="P1,P3", help="these targets (default: all)")
    add("--rounds", type=int, default=4, help="pairs of rounds of P1 and P2 (default: 4)")
    add("--seconds", type=int, default=3, help="of one round (default: 3)")
    add("--json", type=Path, help="file for the result")
    return parser.parse_args(argv, namespace=Arguments())


def command(arguments: Arguments) -> str:
    """Returns the command that makes such a result again, without the file that it was written to."""
    words = ["python -m loadtest.bench", f"--rounds {arguments.rounds}", f"--seconds {arguments.seconds}"]
    if arguments.only != list(MEASURED):
        words.insert(1, f"--only {','.join(arguments.only)}")
    return " ".join(words)


def _names(text: str) -> list[str]:
    wanted = text.replace(",", " ").split()
    unknown = [name for name in wanted if name not in MEASURED]
    if unknown or not wanted:
        raise argparse.ArgumentTypeError(f"{' '.join(unknown) or 'nothing'}: there are {' '.join(MEASURED)}")
    return wanted


def environment(**settings: str) -> dict[str, str]:
    """Returns our environment without the settings of another Forebay, and with these settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return clean | {SETTINGS + name.upper(): value for name, value in settings.items()}
