"""A later release: these packages with one more column, as somebody will declare it, for processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "runtime", "flusher", "ingest")
BEHIND = "\n\n\nclass Delivery("  # what stands behind the last column
COLUMN, DEFAULT = "campaign", "none"
DECLARED = f'    {COLUMN}: Annotated[str, Column(WORD, "Which campaign it belongs to", "{DEFAULT}", since="99.0.0")]\n'
# What comes with it once a release was made.
MIGRATION = tuple(
    f"ALTER TABLE forebay.{table} ADD COLUMN IF NOT EXISTS {COLUMN} LowCardinality(String) DEFAULT '{DEFAULT}' AFTER device"
    for table in ("events", "probe")
)
# Rows as columns on stdin, as Python writes them; entry bytes on stdout.
ENCODE = """
import ast, sys
from schemas import entry
from schemas.row import Row
rows = [Row(**fields) for fields in ast.literal_eval(sys.stdin.read())]
sys.stdout.buffer.write(entry.encode([list(column) for column in zip(*rows)]))
"""
# Entry bytes on stdin, as one block into the ClickHouse of the first word; what its columns are on stdout.
STORE = """
import asyncio, sys
from flusher.blocks.block import form, prepare
from flusher.blocks.sessions import Sessions
from flusher.delivery.table import FOREVER, Table
from schemas.entry import decode
from schemas.names import ORIGIN, EntryId
from schemas.redis.records import Entry
async def store(data):
    entry = Entry(EntryId(5, 1), data, len(decode(data)[0]), "p", 1)
    block = form(prepare([entry]), incarnation=sys.argv[2], shard=0, from_id=ORIGIN, sessions=Sessions())
    table = Table.connect(sys.argv[1], user="default", password="", timeout_seconds=120)
    for part in block.parts:
        await table.insert(part, block=block.id, token=block.name.token(part.month), attempt=0, deadline=FOREVER)
    await table.close()
data = sys.stdin.buffer.read()
asyncio.run(store(data))
print(*map(len, decode(data)))
"""


class Later:
    """Is a release that has one column more than this one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for package in PACKAGES:
            shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
        path = directory / "schemas" / "columns.py"
        before, after = path.read_text("utf-8").split(BEHIND)
        path.write_text(f"{before}\n{DECLARED}{BEHIND[1:]}{after}", "utf-8")

    def run(self, program: str, given: bytes, *words: str) -> bytes:
        """Runs a program on that release's packages; what it wrote to stdout."""
        done = subprocess.run(
            (sys.executable, "-c", program, *words),
            cwd=self._directory,
            env=os.environ | {"PYTHONPATH": str(self._directory)},
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout
