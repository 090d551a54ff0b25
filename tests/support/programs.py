"""The programs of tests/programs: what a test runs as another process, as a file that the linter and the types see."""

import sys
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"


def program(name: str, *words: object) -> list[str]:
    """Returns the command line that runs the program of this name with these words, from any directory."""
    return [sys.executable, str(PROGRAMS / f"{name}.py"), *map(str, words)]
