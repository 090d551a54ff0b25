"""A result as one page of HTML that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write(path: Path, figures: dict[str, Any]) -> None:
    path.write_text(str(figures["at"]), "utf-8")
