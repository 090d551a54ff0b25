"""The house rules of tests/house.py hold for every file, and every rule can fail."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests import house

MODULE = '"""Says what it does."""\n'

# (rule, path, source, part of the fault)
BAD = [
    (house.import_table, "ingest/collect/collector.py", "import flusher.shards", "ingest may not import flusher"),
    (house.import_table, "loadtest/load/drive.py", "from ingest import config", "loadtest may not import ingest"),
    (house.import_table, "forebay/up/command.py", "import ingest.server", "forebay may not import ingest"),
    (house.import_table, "ingest/server.py", "from tests.fakes import redis", "ingest may not import tests"),
    (house.import_table, "ingest/server.py", "from aiohttp import web", "aiohttp is imported by"),
    (house.import_table, "loadtest/watch/reconcile.py", "import aiohttp", "aiohttp is imported by"),
    (house.import_table, "ingest/collect/sites.py", "from redis.asyncio import Redis", "redis is imported by"),
    (house.import_table, "forebay/commands/dead.py", "import redis", "redis is imported by"),
    (house.import_table, "flusher/__main__.py", "from aiohttp import web", "aiohttp is imported by"),
    (house.import_table, "flusher/shards/shard.py", "import clickhouse_connect", "clickhouse_connect is imported by"),
    (house.import_table, "ingest/server.py", "import uvloop", "uvloop is imported by"),
    (house.import_table, "forebay/up/command.py", "import chdb", "chdb is imported by"),
    (house.import_table, "schemas/row.py", "import zstandard", "standard library and msgspec only"),
    (house.import_table, "schemas/entry.py", "import orjson", "standard library and msgspec only"),
    (house.import_table, "schemas/row.py", "import asyncio", "pure files may not import asyncio"),
    (house.import_table, "flusher/blocks/block.py", "from asyncio import Queue", "pure files may not import asyncio"),
    (house.import_table, "loadtest/report/text.py", "import numpy", "not a dependency"),
    (
        house.import_table,
        "ingest/http/app.py",
        "def f():\n    import chdb  # heavy and optional",
        "chdb is imported by",
    ),
    (house.import_table, "runtime/log.py", "from ingest import config", "runtime may not import ingest"),
    (house.rooms_import_downwards, "ingest/dialects/x.py", "from ingest.collect.sites import Site", "ingest/collect"),
    (house.rooms_import_downwards, "ingest/commit/x.py", "from ingest.http import lane", "ingest/http"),
    (house.rooms_import_downwards, "flusher/blocks/x.py", "from flusher import metrics", "flusher/metrics"),
    (house.rooms_import_downwards, "forebay/backup/x.py", "from forebay.commands import erase", "forebay/commands"),
    (house.rooms_import_downwards, "loadtest/report/x.py", "from loadtest.run import run", "loadtest/run"),
    (house.rooms_import_downwards, "loadtest/watch/x.py", "from loadtest.bench import ask", "loadtest/bench"),
    (house.pure_files_never_wait, "flusher/blocks/block.py", "async def cut(): ...", "no await"),
    (house.absolute_imports, "ingest/server.py", "from . import config", "relative"),
    (house.absolute_imports, "tests/test_x.py", "from os import *", "star"),
    (house.no_reexports, "schemas/__init__.py", "from schemas.entry import decode", "no re-exports"),
    (house.imports_inside_functions, "ingest/x.py", "def f():\n    import csv", "without its reason"),
    (house.imports_inside_functions, "ingest/x.py", "def f():\n    import csv  # noqa: PLC0415", "without its reason"),
    (house.file_length, "ingest/x.py", "\n" * 401, "401 lines"),
    (house.function_length, "ingest/x.py", "def f():\n" + "    pass\n" * 60, "61 lines"),
    (house.function_length, "ingest/x.py", "class A:\n  async def f():\n" + "    pass\n" * 60, "61 lines"),
    (house.positional_parameters, "ingest/x.py", "def f(a, b, c, d, e, g, h): ...", "7 positional"),
    (house.positional_parameters, "ingest/x.py", "def f(self, a, b, /, c, d, e, g, h): ...", "7 positional"),
    (house.module_docstring, "ingest/x.py", "import csv", "no module docstring"),
    (house.docstrings_begin_with_a_verb, "ingest/x.py", "def f():\n    'The rows of a block.'", "'The'"),
    (house.docstrings_begin_with_a_verb, "ingest/x.py", "class A:\n    'Rows of a block.'", "'Rows'"),
    (house.banned_words, "ingest/x.py", "def read_payload(): ...", "'payload'"),
    (house.banned_words, "ingest/x.py", "class TenantMap: ...", "'tenant'"),
    (house.banned_words, "ingest/x.py", "def f(*, helpers): ...", "'helper'"),
    (house.banned_words, "ingest/x.py", "self.HTTPManager = 1", "'manager'"),
    (house.banned_words, "ingest/x.py", "import csv as misc", "'misc'"),
    (house.banned_words, "ingest/x.py", "x = 1  # the quarantine's size", "'quarantine'"),
    (house.banned_words, "ingest/utils.py", MODULE, "'util'"),
    (house.banned_words, "forebay/poison/x.py", MODULE, "'poison'"),
    (house.environment_access, "ingest/server.py", "import os\nx = os.environ['X']", "environment"),
    (house.environment_access, "ingest/server.py", "import os\nx = os.getenv('X')", "environment"),
    (house.environment_access, "forebay/up/command.py", "from os import environ", "environment"),
    (house.environment_access, "ingest/myconfig.py", "import os\nx = os.environ", "environment"),
    (house.catching_everything, "ingest/x.py", "try: ...\nexcept Exception: ...", "no reason"),
    (house.catching_everything, "ingest/x.py", "try: ...\nexcept: ...", "no reason"),
    (house.catching_everything, "ingest/x.py", "try: ...\nexcept (OSError, BaseException): ...", "no reason"),
    (house.catching_everything, "ingest/x.py", "with contextlib.suppress(Exception): ...", "no reason"),
    (
        house.catching_everything,
        "ingest/x.py",
        "try: ...\nexcept Exception: ...  # outermost loop\n" * 2,
        "second time",
    ),
    (house.ignores_have_reasons, "tests/x.py", "x = 1  # type: ignore[misc]", "no reason"),
    (house.ignores_have_reasons, "ingest/x.py", "x = 1  # noqa: S105", "no reason"),
    (house.ignores_have_reasons, "ingest/x.py", "# ruff: noqa: S105, S106", "no reason"),
    (house.ignores_have_reasons, "ingest/x.py", "x = 1  # noqa: S105 - test", "no reason"),
    (house.ignores_have_reasons, "ingest/x.py", "# mypy: ignore-errors", "no reason"),
    (house.no_mocks, "tests/test_x.py", "import unittest.mock", "mocks"),
    (house.no_mocks, "tests/test_x.py", "from unittest import mock", "mocks"),
    (house.no_mocks, "tests/test_x.py", "from unittest.mock import patch", "mocks"),
    (house.test_docstrings, "tests/test_x.py", "async def test_it(): ...", "docstring"),
    (house.test_docstrings, "tests/test_x.py", "class TestX:\n  def test_it(self): ...", "docstring"),
    (house.registry_hosts, "Dockerfile", f"RUN pip --index-url https://{house.REGISTRY_HOSTS[0]}/", "registry"),
    (house.registry_hosts, "deploy/x.md", f"https://Files.{house.REGISTRY_HOSTS[2].upper()}/", "registry"),
    (house.names_in_redis, "ingest/x.py", "KEY = 'forebay:sites'", "a key of Redis"),
    (house.names_in_redis, "ingest/x.py", "key = f'forebay:salt:{day}'", "a key of Redis"),
    (house.names_in_redis, "flusher/x.py", 'CUT = "return redis.call(1)"', "a script is written"),
    (house.names_in_redis, "forebay/x.py", "client.hget(keys.checkpoint, 'stored')", "a field of a hash"),
    (house.names_in_redis, "forebay/x.py", "client.hdel(key, f'verdict:{edge}')", "a field of a hash"),
    (house.top_level, "scratch.py", "", "scratch.py"),
    (house.top_level, "common/x.py", "", "common"),
    (house.dead_references, "ingest/x.py", '"""As nowhere.md says."""', "nowhere.md is no file"),
    (house.dead_references, "tests/x.py", "x = 1  # as flusher/nowhere.py does", "flusher/nowhere.py is no file"),
    (house.dead_references, "tests/x.py", "x = 1  # tests/nowhere/ has it", "tests/nowhere/ is no directory"),
    (house.dead_references, "flusher/x.py", "PAGE = 'docs/operations.md#nowhere'", "#nowhere is no heading"),
    (house.dead_references, "deploy/x.xml", "<!-- (delivery.md, rule 99) -->", "has no rule 99"),
    (house.dead_references, "flusher/x.py", '"""Rules 3 to 99."""', "has no rule 99"),
    (house.dead_references, "flusher/x.py", "x = 1  # (decision 99)", "no decision 99"),
    (house.dead_references, "docs/decisions/x.md", "as decided in 0099", "no decision 0099"),
    (house.dead_references, "flusher/x.py", "x = 1  # (I42)", "no invariant I42"),
    (house.dead_references, "docs/x.md", "[a page](nowhere.md)", "leads to no file"),
    (house.dead_references, "docs/decisions/x.md", "[a page](events.md)", "leads to no file"),
    (house.dead_references, "docs/x.md", "[a page](operations.md#nowhere)", "leads to no heading"),
    (house.dead_references, "docs/x.md", "[here](#nowhere)\n\n## Somewhere", "leads to no heading"),
    (house.dead_references, "docs/x.md", "`NOWHERE` in `ingest/http/app.py`", "holds no NOWHERE"),
    (house.dead_references, "docs/x.md", "`ingest/http/app.py` (`NOWHERE`)", "holds no NOWHERE"),
    (house.dead_references, "deploy/x.yml", "runbook: /docs/nowhere.md", "docs/nowhere.md is no file"),
]

# Near misses: what the rules must let pass.
GOOD = [
    ("schemas/entry.py", "import msgspec\nimport zstandard\nfrom schemas.row import COLUMNS\n"),
    ("flusher/redis/stream.py", "from runtime.redis import Redis\nfrom schemas.entry import Keys\n"),
    ("ingest/__main__.py", "import os\nimport uvloop\nx = os.environ\n"),
    ("forebay/embedded/clickhouse/engine.py", "import chdb\nfrom aiohttp import web\nimport clickhouse_connect\n"),
    ("ingest/x.py", "def f():\n    import csv  # half a second to load, rarely needed\n"),
    ("ingest/x.py", "from contextlib import AbstractAsyncContextManager\nfrom email.utils import formatdate\n"),
    ("ingest/x.py", "def f(a, b, c, d, e, g, *, h, i, j): ...\nclass A:\n    def f(self, a, b, c, d, e, g): ...\n"),
    ("ingest/x.py", "try: ...\nexcept Exception: ...  # the outermost loop: one request fails, the process lives\n"),
    ("ingest/x.py", "x = 1  # type: ignore[misc]  # the stubs say str, the code returns bytes\n"),
    ("ingest/x.py", "x = 1  # noqa: S105 - a header's name, no secret\n"),
    ("ingest/x.py", "x = (1, 2)  # fmt: skip\n"),
    ("ingest/x.py", "def f():\n" + "    pass\n" * 59),
    ("ingest/x.py", "x = 1\n" * 399),
    ("forebay/x.py", "x = 'forebay: no such command'\nclient.hget(key, Field.RUN)\n"),
    ("forebay/x.py", "def f():\n    '''Reads forebay:sites.'''\n"),
    ("schemas/redis/keys.py", "SITES_KEY = 'forebay:sites'\n"),
    ("tests/test_x.py", "def test_it():\n    '''A property.'''\n"),
    (
        "ingest/x.py",
        "x = 1  # delivery.md, rules 3 to 5, schemas/entry.py, house.py, docs/decisions/, I4, decision 0013\n",
    ),
    (
        "ingest/x.py",
        "x = 1  # run.json, data/redis/redis.conf and https://example.com/nowhere.md are not ours to check\n",
    ),
    (
        "ingest/x.py",
        "x = 1  # tests/test_x.py, docs/decisions/NNNN-name.md and ingest/dialects/<name>.py stand for many\n",
    ),
]
# The same, of files that are no Python.
GOOD_PAGES = [
    (
        "docs/x.md",
        "# Here\n\n[a](operations.md#shard-stopped), [b](configuration.md#redis_fsync), [c](https://example.com/x#y), [d](#here)",
    ),
    (
        "docs/decisions/x.md",
        "[a](0008-rollups.md), [b](../events.md), decisions/0008-rollups.md, 0019, `Keys` in `schemas/redis/keys.py`",
    ),
    ("deploy/x.yml", "runbook: /docs/operations.md#shard-stopped"),
]


def faults_of(path: str, text: str) -> list[str]:
    source = house.Source(path, text)
    return [f"{path}:{line}: {fault}" for rule in house.rules_for(path) for line, fault in rule(source)]


def files_of(checkout: Path) -> list[str]:
    """Returns every file that git has or would add, so that a fault shows before it is committed."""
    lines = (checkout / ".gitignore").read_text("utf-8").split()
    ignored = [line.rstrip("/") for line in lines] + ["/.git"]

    def is_ignored(path: Path) -> bool:
        name = f"/{path.relative_to(checkout).as_posix()}"
        return any(fnmatchcase(name if pattern.startswith("/") else path.name, pattern) for pattern in ignored)

    names = []
    for folder, folders, files in os.walk(checkout):
        folders[:] = [name for name in folders if not is_ignored(Path(folder, name))]
        names += [path for name in files if not is_ignored(path := Path(folder, name))]
    return sorted(path.relative_to(checkout).as_posix() for path in names)


def test_every_file_keeps_the_house_rules(checkout: Path) -> None:
    """No file of the repository breaks a rule that speaks of it."""
    names = files_of(checkout)
    assert "tests/unit/test_house.py" in names
    faults = [
        fault for name in names for fault in faults_of(name, (checkout / name).read_text("utf-8", errors="replace"))
    ]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(("rule", "path", "text", "fault"), BAD)
def test_a_rule_finds_what_breaks_it(rule: house.Rule, path: str, text: str, fault: str) -> None:
    """A snippet that breaks a rule is found by it, and the rule is run on such a file."""
    found = [said for _, said in rule(house.Source(path, text))]
    assert any(fault in said for said in found), found
    assert rule in house.rules_for(path)


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_a_near_miss_passes(path: str, text: str) -> None:
    """What a rule permits stays permitted."""
    assert faults_of(path, MODULE + text) == []


@pytest.mark.parametrize(("path", "text"), GOOD_PAGES)
def test_a_reference_that_leads_somewhere_passes(path: str, text: str) -> None:
    """As a near miss does."""
    assert [said for _, said in house.dead_references(house.Source(path, text))] == []


def test_every_rule_is_seen_to_fail() -> None:
    """A rule without a bad snippet could be one that never fails."""
    assert {rule for rule, *_ in BAD} == set(house.ALL)
