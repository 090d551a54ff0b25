"""Plans one `forebay up`: its ports, addresses and commands, and the facts that it tells to the outside.

A plan is made once, at the start. Nothing in it changes while children die and are started again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from forebay import config
from forebay.clickhouse import ClickHouse
from forebay.embedded import engine_record, redis, sockets
from forebay.embedded import real_clickhouse as clickhouse_server
from forebay.embedded.clickhouse.limits import default_memory_bytes, limits_of
from forebay.up import room
from runtime import log, ports
from runtime.children import Command, answers
from runtime.durable import make_directory
from runtime.ports import PortTaken
from schemas.runfile import RedisServer, Running
from schemas.settings import UpSettings
from schemas.snippet import snippet
from schemas.tracker_names import TrackerNames

LOOPBACK = "127.0.0.1"
# Or any free one where it is taken, because a second `forebay up` did not choose it.
FLUSHER_PORT = 8002
DASHBOARD_PORT = 8003
MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made in it is checked to be ours
EVERYWHERE = {"", "::", "0.0.0.0", "localhost"}
ANY_SITE = "*"
DEMO_SITE = "demo"  # the demo page's site, which works whichever sites are named
# Senders that wait for an acknowledgement go first, because storing may come a little later and catches up. On two cores
# at 9 000 events a second the 99th percentile of their latency was 60 ms and more while INSERTs and merges ran at the
# same niceness, and is 18 to 23 ms now, with rows as fresh. Beside busy processes of others, rows come later.
NICENESS = {"clickhouse": 5, "flusher": 5, "dashboard": 5}
QUERY = "SELECT ts, site, name, path, bot FROM forebay.events ORDER BY ts DESC LIMIT 10"


def hold_ports(settings: UpSettings) -> tuple[list[socket.socket], dict[str, int]]:
    """Returns sockets that reserve the ports, and the ports by option.

    Raises PortTaken, which names every port that is taken.
    """
    wanted = [
        ("port", settings.host, settings.port),
        ("internal-port", LOOPBACK, settings.internal_port),
        ("clickhouse-port", LOOPBACK, settings.clickhouse_port),
    ]
    if settings.flusher_internal_port is not None:
        wanted.append(("flusher-internal-port", LOOPBACK, settings.flusher_internal_port))
    if settings.dashboard_port is not None:
        wanted.append(("dashboard-port", LOOPBACK, settings.dashboard_port))
    if settings.redis_port is not None:
        wanted.append(("redis-port", LOOPBACK, settings.redis_port))
    held: list[socket.socket] = []
    numbers: dict[str, int] = {}
    faults: list[str] = []
    for option, host, port in wanted:
        try:
            more, numbers[option] = ports.hold(host, port)
            held += more
        except PortTaken as error:
            faults.append(f"{error}: choose another with --{option}, or --{option} 0 for any free one")
    if faults:
        for one in held:
            one.close()
        raise PortTaken("\n".join(faults))
    for option, port in (("flusher-internal-port", FLUSHER_PORT), ("dashboard-port", DASHBOARD_PORT)):
        if option not in numbers:
            more, numbers[option] = ports.hold_first(LOOPBACK, port)
            held += more
    return held, numbers


def counters_directory(data: Path) -> Path:
    """Returns where ingest's workers keep their counters: in memory, if the system has a place for that.

    The files are mapped, and writing to one on a full disk would end the worker (SIGBUS).
    """
    name = hashlib.blake2b(os.fsencode(data), digest_size=8).hexdigest()
    directory = MEMORY / f"forebay-{os.getuid()}-{name}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError:
        return data / "ingest"
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return directory if is_ours else data / "ingest"


class Plan:
    """Holds the settings and ports of one run, and makes everything else from them. Raises RedisMissing and ServerMissing.

    `called` is how the reader called `forebay`, for commands that can be pasted.
    """

    def __init__(self, settings: UpSettings, *, data: Path, numbers: Mapping[str, int], called: str) -> None:
        self._settings = settings
        self._data = data
        self._numbers = numbers
        self._called = called
        self._is_production = config.is_production(settings)
        self.redis_directory = data / "redis"
        self.redis_socket = redis.socket_path(self.redis_directory)
        self.redis_server = redis.find_server(settings.redis_server)
        self.storing_socket = sockets.private_path(data / "clickhouse", "flusher.sock")
        self.reader_socket = sockets.private_path(data / "clickhouse", "reader.sock")
        self._clickhouse_server = (
            clickhouse_server.find(settings.clickhouse_server) if settings.clickhouse_server else None
        )
        self._storing_password = ""

    @property
    def url(self) -> str:
        """Returns where browsers on this machine reach ingest."""
        host = LOOPBACK if self._settings.host in EVERYWHERE else self._settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._numbers['port']}"

    @property
    def sites(self) -> tuple[str, ...]:
        """Returns the sites that are accepted without being registered; `*` is any site."""
        if self._is_production:
            return self._settings.sites
        return (*(self._settings.sites or (ANY_SITE,)), DEMO_SITE)

    @property
    def clickhouse_url(self) -> str:
        """Returns the public URL of ClickHouse, where questions have limits."""
        return self._internal("clickhouse-port")

    @property
    def storing_url(self) -> str:
        """Returns where the flusher and the migrations reach ClickHouse without waiting behind questions."""
        return f"unix://{self.storing_socket}" if self._clickhouse_server is None else self.clickhouse_url

    @property
    def dashboard_url(self) -> str:
        """Returns where this machine reaches the dashboard."""
        return self._internal("dashboard-port")

    @property
    def storing_client(self) -> ClickHouse:
        """Returns a client for the migrations.

        A server's password is known once `commands` has written its configuration.
        """
        return ClickHouse(self.storing_url, user=self._storing_user, password=self._storing_password)

    @property
    def _storing_user(self) -> str:
        return "default" if self._clickhouse_server is None else clickhouse_server.USER

    @property
    def query(self) -> str:
        """Returns the command that asks ClickHouse, to be pasted where `forebay up` was called, with SQL behind it."""
        given = "" if self._settings.data == UpSettings().data else f" --data {shlex.quote(self._settings.data)}"
        return f"{self._called} query{given}"

    def _internal(self, option: str) -> str:
        return f"http://{LOOPBACK}:{self._numbers[option]}"

    def commands(
        self, locked: int, on_workers: Callable[[bytes], None], on_said: Callable[[str, bytes], None] | None
    ) -> dict[str, Command]:
        """Returns what to start, by name, and writes redis.conf. Raises RedisMissing and WrongEngine.

        Every child inherits the descriptor `locked`. `on_said` gets each line that a child writes, with the child's
        name; without it they write to our stdout and stderr.
        """
        settings, numbers, data = self._settings, self._numbers, self._data
        program, version = self.redis_server
        port = numbers.get("redis-port", 0)
        configured = redis.prepare(self.redis_directory, version, port=port, memory_bytes=settings.redis_bytes_max)
        engine = self._engine_words()
        environment = self._environment()
        with contextlib.suppress(OSError):  # a full disk: ingest makes it when there is room, and needs it only then
            make_directory(data / "spool")

        def command(name: str, is_ready: Callable[[], Awaitable[bool]], *words: str) -> Command:
            said = partial(on_said, name) if on_said else None
            return Command(
                name=name,
                words=words,
                environment=environment | (self._dashboard_environment() if name == "dashboard" else {}),
                is_ready=is_ready,
                fds=(locked,),
                before=partial(redis.free_leases, self.redis_socket) if name == "flusher" else None,
                on_line=on_workers if name == "ingest" else said,
                on_error_line=said,
                niceness=NICENESS.get(name, 0),
            )

        def python(name: str, option: str, path: str, *words: str) -> Command:
            return command(name, lambda: answers(LOOPBACK, numbers[option], path), sys.executable, "-m", *words)

        tier = ("ingest", "--report-workers", "--run-dir", str(counters_directory(data)))
        commands = (
            command("redis", lambda: redis.pongs(self.redis_socket), program, str(configured)),
            command("clickhouse", lambda: answers(LOOPBACK, numbers["clickhouse-port"], "/ping"), *engine),
            python("ingest", "internal-port", "/readyz", *tier),
            # /healthz, not /readyz: one shard that waits for a person must not keep the others and the tools waiting
            python("flusher", "flusher-internal-port", "/healthz", "flusher"),
            python("dashboard", "dashboard-port", "/healthz", "dashboard"),
        )
        return {made.name: made for made in commands}

    def _engine_words(self) -> tuple[str, ...]:
        """Returns the command line of ClickHouse, and writes a server's configuration. Raises WrongEngine."""
        settings, directory, port = self._settings, self._data / "clickhouse", self._numbers["clickhouse-port"]
        server = self._clickhouse_server
        if server is None:
            engine_record.check(directory, kind=engine_record.EMBEDDED, version=engine_record.embedded_version())
            at = ("--data", str(directory), "--host", LOOPBACK, "--port", str(port))
            ways = ("--flusher-socket", str(self.storing_socket), "--reader-socket", str(self.reader_socket))
            return (sys.executable, "-m", "forebay.embedded.clickhouse", *at, *ways)
        engine_record.admit(directory, kind=engine_record.SERVER, version=server.version)
        memory_bytes = default_memory_bytes()
        configured, self._storing_password = clickhouse_server.prepare(
            directory,
            port=port,
            memory_bytes=memory_bytes,
            free_bytes_min=settings.clickhouse_free_bytes_min,
            limits=limits_of(settings, memory_bytes),
        )
        return (*server.words, "--config-file", str(configured))

    def _dashboard_environment(self) -> dict[str, str]:
        """Returns what the dashboard's environment has instead: a way to ClickHouse on which it can only read."""
        settings = self._settings
        reads = f"unix://{self.reader_socket}" if self._clickhouse_server is None else self.clickhouse_url
        return config.variables(
            clickhouse_url=reads,
            clickhouse_user="default",
            clickhouse_password="",
            dashboard_host=LOOPBACK,
            dashboard_port=str(self._numbers["dashboard-port"]),
            ingest_internal_url=self._internal("internal-port"),
            flusher_internal_url=self._internal("flusher-internal-port"),
            public_url=settings.public_url or self.url,
            dashboard_url=settings.dashboard_url,
        )

    def _environment(self) -> dict[str, str]:
        settings, numbers = self._settings, self._numbers
        return config.child_environment(
            redis_url=f"unix://{self.redis_socket}",
            redis_ca="",
            redis_cert="",
            redis_cert_key="",
            redis_data_dir=str(self.redis_directory),
            clickhouse_url=self.storing_url,
            clickhouse_user=self._storing_user,
            clickhouse_password=self._storing_password,
            clickhouse_cluster="",
            redis_free_bytes_min=str(settings.redis_free_bytes_min),
            spool_free_bytes_min=str(settings.spool_free_bytes_min),
            clickhouse_free_bytes_min=str(settings.clickhouse_free_bytes_min),
            host=settings.host,
            port=str(numbers["port"]),
            internal_host=LOOPBACK,
            internal_port=str(numbers["internal-port"]),
            flusher_internal_host=LOOPBACK,
            flusher_internal_port=str(numbers["flusher-internal-port"]),
            workers=str(settings.workers),
            shards=str(settings.shards),
            sites=",".join(self.sites),
            timezone=settings.timezone,
            tracker_path=settings.tracker_path,
            spool_dir=str(self._data / "spool"),
            demo_page=str(not self._is_production).lower(),
            demo_query=self.query,
            migrate_on_start="false",
            # stored entries may take a quarter of Redis, so that they never take the room of those that wait
            replay_tail_bytes_max=str(settings.redis_bytes_max // (4 * settings.shards)),
            log_format="text" if log.is_text(settings.log_format) else "json",
        )

    def facts(self, pids: Mapping[str, Any]) -> Running:
        """Returns what run.json says, with these process ids."""
        has_port = "redis-port" in self._numbers
        return Running(
            url=self.url,
            internal_url=self._internal("internal-port"),
            flusher_internal_url=self._internal("flusher-internal-port"),
            clickhouse_url=self.clickhouse_url,
            dashboard_url=self.dashboard_url,
            redis_url=f"redis://{LOOPBACK}:{self._numbers['redis-port']}/0"
            if has_port
            else f"unix://{self.redis_socket}",
            public_url=self._settings.public_url,
            tracker_path=self._settings.tracker_path,
            sites=tuple(self.sites),
            redis_server=RedisServer(self.redis_server.program, self.redis_server.release),
            pids=dict(pids),
        )

    def needs(self) -> Sequence[room.Need]:
        """Returns how much each part needs free on its disk."""
        settings = self._settings
        return room.needs(
            self._data,
            redis=settings.redis_free_bytes_min,
            spool=settings.spool_free_bytes_min,
            clickhouse=settings.clickhouse_free_bytes_min,
        )

    def announcement(self, seconds: float, short: Sequence[str]) -> str:
        """Returns the banner's facts as one line for a log, where each shortage has a line of its own."""
        return (
            f"Forebay is {_how(short)} after {seconds:.1f} s at {self._settings.public_url or self.url}; its data is in {self._data},"
            f" the dashboard at {self.dashboard_url}/, ClickHouse at {self.clickhouse_url}, metrics at {self._internal('internal-port')}/metrics and"
            f" {self._internal('flusher-internal-port')}/metrics"
        )

    def banner(self, seconds: float, short: Sequence[str]) -> str:
        """Returns the text for a person at a terminal: what is short, a sentence each, and what to do next."""
        named = [site for site in self._settings.sites if site != ANY_SITE]
        url = self._settings.public_url or self.url
        demo = () if self._is_production else (f"  Demo page   {self.url}/",)
        return "\n".join(
            (
                f"Forebay is {_how(short)} after {seconds:.1f} s; its data is in {self._data}",
                *(f"  DISK        {line}" for line in short),
                "",
                f"  Dashboard   {self._settings.dashboard_url or f'{self.dashboard_url}/'}",
                f"  For others  {self._called} user add NAME --role admin, and docs/dashboard.md#for-others",
                *demo,
                f"  Snippet     {snippet(url, named[0] if named else '', names=TrackerNames.of(self._settings.tracker_path))}",
                f'  Query       {self.query} "{QUERY}"',
                f"  ClickHouse  {self.clickhouse_url}",
                f"  Metrics     {self._internal('internal-port')}/metrics, {self._internal('flusher-internal-port')}/metrics",
                f"  Redis       {self.redis_server.release}, {self.redis_server.program}",
                "",
                "Ctrl-C stops it, once everything that was accepted is stored.",
            )
        )


def _how(short: Sequence[str]) -> str:
    return "up, but not well," if short else "ready"
