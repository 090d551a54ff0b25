"""Finds the programs of Debian that make unpacks for the tests, beside those that are installed."""

import os
import shutil
from pathlib import Path

import pytest

VENV = Path(__file__).parents[2] / ".venv"


def unpacked(name: str, target: str, *folders: str) -> str:
    """Returns the path of a program: an installed one, else that in these folders of .venv, which `make TARGET` unpacks.

    Where there is none the test is skipped, and fails where make could have unpacked it.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *(str(VENV / one) for one in folders)])
    found = shutil.which(name, path=path)
    if found is None and "CI" in os.environ and os.geteuid() == 0 and shutil.which("apt-get"):
        pytest.fail(f"{name} is not there: `make {target}` unpacks it")
    if found is None:
        pytest.skip(f"{name} is not there: `make {target}` unpacks it on Debian")
    return found
