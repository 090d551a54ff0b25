"""The programs of docs/your-bi.md run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from forebay.clickhouse import ClickHouse
from tests.support.engine import EngineProcess

RUN_SECONDS_MAX = 60


def test_each_program_of_the_page(checkout: Path, seeded: ClickHouse, engine: EngineProcess) -> None:
    """With another port and the site of the tests, in one process, as in a notebook."""
    page = (checkout / "docs/your-bi.md").read_text("utf-8")
    programs = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(programs) == 3
    text = "\n".join(programs).replace("8123", str(engine.port)).replace("example.com", "shop.example")
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=checkout, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^crawler +[1-9]\d*$", done.stdout, re.MULTILINE)
    assert re.search(r"^2026-03-31 +\d+\.\d+$", done.stdout, re.MULTILINE)
    assert re.search(r"^Organic Search [1-9]\d*$", done.stdout, re.MULTILINE)
