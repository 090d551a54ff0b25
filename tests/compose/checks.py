"""Prints a line for each check, and runs the programs that checks need, each with a deadline."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TAIL_LINES = 15


class Failed(Exception):
    """Reports that a program failed or took too long; the text is the end of its output."""


class Stop(Exception):
    """Ends the checks, because something is missing that all the others need."""


def run(
    *words: str | Path, seconds: float, environment: Mapping[str, str] | None = None, given: str | None = None
) -> str:
    """Runs a program and returns its stdout. Raises Failed with the end of its output."""
    name = " ".join(map(str, words[:6]))
    try:
        done = subprocess.run(
            list(map(str, words)),
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=None if given is not None else subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise Failed(f"there is no {words[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{name}: not within {seconds:.0f} s") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-TAIL_LINES:]
        raise Failed("\n    ".join([f"{name}: exit status {done.returncode}", *said]))
    return done.stdout


@contextmanager
def failing(pattern: str) -> Iterator[None]:
    """Expects that its body raises Failed with such a text. Raises AssertionError if it does not."""
    try:
        yield
    except Failed as error:
        if not re.search(pattern, str(error)):
            raise
    else:
        raise AssertionError("it went through")


class Checks:
    """Prints a line for each check, and counts those that failed."""

    def __init__(self) -> None:
        self.met = 0
        self.missed: list[str] = []

    def say(self, text: str) -> None:
        """Prints a line at once, with the time."""
        print(time.strftime("%H:%M:%S"), text, flush=True)

    @contextmanager
    def check(self, name: str, *, is_needed: bool = False) -> Iterator[list[str]]:
        """Runs one check, whose body passes or raises; what it appends to the list is printed after the name.

        Raises Stop after the failure of a check that all the others need.
        """
        began = time.monotonic()
        figures: list[str] = []
        try:
            yield figures
        except (AssertionError, Failed, OSError, LookupError, ValueError) as error:
            self.missed.append(name)
            self.say(f"MISSED  {name}: {type(error).__name__}: {error}")
            if is_needed:
                raise Stop(name) from error
        else:
            self.met += 1
            told = ", ".join([*figures, f"{time.monotonic() - began:.0f} s"])
            self.say(f"ok      {name} ({told})")
