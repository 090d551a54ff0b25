"""The `forebay` command, run to its end as a process of its own."""

import asyncio
import os
import subprocess
import sys

from tests.support.system import ROOT, System
from tests.support.waiting import SECONDS


def forebay(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Returns the exit code and what was said; `settings` are those of the environment, by their names in the pages."""
    return subprocess.run(
        (sys.executable, "-m", "forebay", *words),
        cwd=ROOT,
        env={**os.environ, **{f"FOREBAY_{name.upper()}": value for name, value in settings.items()}},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


async def told(*words: str) -> tuple[int, str]:
    """Returns the exit code and all that the command said, while the loop of the test goes on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "forebay",
        *words,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def told_of(system: System, *words: str) -> tuple[int, str]:
    """Returns the same of a command that is told where the system's data is."""
    return await told(*words, "--data", str(system.data))
