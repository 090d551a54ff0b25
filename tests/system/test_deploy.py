"""What deploy/ holds is accepted by the programs it is for, and does what it says; names agree with the code."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from prometheus_client import CollectorRegistry

from dashboard.metrics import Metrics as DashboardMetrics
from flusher.metrics import Metrics as FlusherMetrics
from forebay.embedded.redis import find_server
from ingest.metrics import Metrics as IngestMetrics
from schemas.durability import CONFIG, INFO, Facts, judge
from schemas.settings import DashboardSettings, FlusherSettings, IngestSettings
from tests.support import proxies
from tests.support.prometheus import program
from tests.support.waiting import wait_until

SYSTEMD = shutil.which("systemd-analyze")
# A URL, wherever the pages are: Prometheus fills it in.
RUNBOOKS = "{{ with $externalLabels.runbooks }}{{ . }}{{ else }}file:///opt/forebay/share/doc/forebay{{ end }}"
METRIC = re.compile(r"\bforebay_\w+")


@pytest.fixture(scope="module")
def deploy(checkout: Path) -> Path:
    """The folder."""
    return checkout / "deploy"


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """Every series name that a process can show."""
    names = set()
    for kind in (IngestMetrics, FlusherMetrics, DashboardMetrics):
        registry = CollectorRegistry()
        kind(registry)
        for family in registry.collect():
            suffixes = {"info": ("_info",), "counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
                family.type, ("",)
            )
            names |= {family.name + suffix for suffix in suffixes}
    return names


# Redis


class RedisServer:
    """A redis-server that runs with deploy/redis.conf, but for the place of its files and its port."""

    def __init__(self, conf: Path, directory: Path) -> None:
        text = conf.read_text("utf-8")
        assert "\ndir /data\n" in text
        assert "\nport 6379\n" in text
        text = text.replace("\ndir /data\n", f"\ndir {directory}\n").replace("\nport 6379\n", "\nport 0\n")
        self._conf = directory / "redis.conf"
        self._conf.write_text(f"{text}unixsocket {directory / 's'}\nlogfile {directory / 'log'}\n")
        self.client = redis.Redis(unix_socket_path=str(directory / "s"), decode_responses=True)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([find_server("")[0], self._conf])
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "redis-server ended"
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.client.close()


@pytest.fixture
def server(deploy: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A running one."""
    server = RedisServer(deploy / "redis.conf", tmp_path)
    yield server
    server.kill()


def test_redis_is_durable_and_never_forgets(server: RedisServer) -> None:
    """The settings that I1 stands on, as the server understood them."""
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "save": "",
        "maxmemory": str(1 << 30),
        "maxmemory-policy": "noeviction",
    }
    assert {name: server.client.config_get(name)[name] for name in wanted} == wanted


def test_redis_is_one_that_ingest_starts_on(server: RedisServer) -> None:
    """Nothing that it says of itself breaks the promise."""
    client: Any = server.client
    facts = Facts.of(*(client.execute_command(*question) for question in (INFO, CONFIG)))
    assert judge(facts).faults == ()


def test_redis_keeps_what_it_answered(server: RedisServer) -> None:
    """An entry that was answered is there after SIGKILL."""
    entry = server.client.xadd("log", {"d": "x"})
    server.kill()
    server.start()
    assert server.client.xrange("log") == [(entry, {"d": "x"})]


@pytest.mark.parametrize("word", ["FLUSHALL", "FLUSHDB"])
def test_redis_has_no_command_that_forgets_all(server: RedisServer, word: str) -> None:
    """One word at the wrong prompt loses nothing."""
    with pytest.raises(redis.ResponseError, match=r"(?i)unknown redis command|unknown command"):
        server.client.eval(f"return redis.call('{word}')", 0)


# Prometheus and Grafana


def test_prometheus_scrapes_the_services_of_compose(checkout: Path, deploy: Path) -> None:
    """Each tier by its service's name and its internal port's default, on a network both are on."""
    services = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))["services"]
    jobs = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    found = {(name, sd["port"]) for job in jobs for sd in job.get("dns_sd_configs", []) for name in sd["names"]}
    assert found == {
        ("ingest", IngestSettings().internal_port),
        ("flusher", FlusherSettings().flusher_internal_port),
    }
    assert {name for name, _ in found} <= set(services)


def test_the_overlay_gives_prometheus_the_dashboard(checkout: Path, deploy: Path) -> None:
    """The target by its service's name and port, and the key, each where the job looks for it."""
    jobs = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    (job,) = [one for one in jobs if one["job_name"] == "forebay-dashboard"]
    (looked,) = job["file_sd_configs"]
    overlay = yaml.safe_load((deploy / "dashboard-metrics.yml").read_text("utf-8"))["services"]["prometheus"]
    targets, key = overlay["volumes"]
    source, target, mode = targets.split(":")
    assert ([target], mode) == (looked["files"], "ro")
    assert (key["target"], key["read_only"]) == (job["authorization"]["credentials_file"], True)
    assert yaml.safe_load((checkout / source).read_text("utf-8")) == [
        {"targets": [f"dashboard:{DashboardSettings().dashboard_port}"]}
    ]
    services = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))["services"]
    assert set(services["dashboard"]["networks"]) & set(services["prometheus"]["networks"])
    (default,) = re.findall(r":-(.+)}", key["source"])
    assert default.removeprefix(".") in (checkout / ".gitignore").read_text("utf-8").split()


def rules(deploy: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((deploy / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_use_metrics_that_exist(deploy: Path, metrics: set[str]) -> None:
    """A rule on a name nobody exports never rises."""
    assert {name for rule in rules(deploy) for name in METRIC.findall(rule["expr"])} <= metrics


def test_alerts_say_what_to_do(deploy: Path, checkout: Path) -> None:
    """Each has a severity, a summary and a paragraph of docs/operations.md, which exists."""
    page = checkout / "docs" / "operations.md"
    if not page.exists():
        pytest.skip("docs/operations.md is not written yet")
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    anchors |= set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text("utf-8")))
    for rule in rules(deploy):
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        where, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (where, anchor in anchors) == (RUNBOOKS + "/operations.md", True), rule["alert"]


UP = {f'up{{job="forebay-{tier}"}}': "1x30" for tier in ("ingest", "flusher")}
ATTEMPTS = 'forebay_dashboard_message_attempts_failed_total{{channel="mail", reason="{}"}}'


def failed(kind: str, channel: str, reason: str) -> str:
    """Returns the series of messages that were given up."""
    labels = f'kind="{kind}", channel="{channel}", fate="failed", reason="{reason}"'
    return f"forebay_dashboard_messages_total{{{labels}}}"


# (alert, series by minute, minute at which it has not risen, minute at which it has); None: never
RISES = [
    ("ShardStopped", {'forebay_shard_stopped{shard="0"}': "0x5 1x20"}, 5, 10),
    ("FlushLag", {'forebay_flush_lag_seconds{shard="0"}': "1x5 120x20"}, 5, 12),
    (
        "NothingStored",
        {"forebay_events_accepted_total": "0+100x40", "forebay_events_stored_total": "0+100x10 1000x30"},
        10,
        22,
    ),
    ("NothingStored", {"forebay_events_accepted_total": "0+100x40"}, None, 10),
    ("StoringStalled", {'forebay_flush_stalled_seconds{shard="0"}': "0x5 60x5 300x20"}, 8, 15),
    ("ClickHouseDown", {'forebay_clickhouse_up{instance="a"}': "1x5 0x20"}, 5, 10),
    ("ClickHouseDisk", {'forebay_clickhouse_free_bytes{instance="a"}': "9000000000x5 500000000x20"}, 5, 10),
    (
        "RedisMemory",
        {
            'forebay_redis_memory_bytes{instance="a"}': "100x5 800x20",
            'forebay_redis_memory_max_bytes{instance="a"}': "1000x30",
        },
        5,
        10,
    ),
    (
        "RedisMemory",
        {'forebay_redis_memory_bytes{instance="a"}': "800x30", 'forebay_redis_memory_max_bytes{instance="a"}': "0x30"},
        15,
        None,
    ),
    ("Disk", {'forebay_disk_free_bytes{instance="a", where="spool"}': "9000000000x5 500000000x20"}, 5, 10),
    ("RedisNotDurable", {'forebay_redis_durable{instance="a", setting="role"}': "1x5 0x20"}, 5, 10),
    ("RedisLost", {'forebay_redis_lost_total{instance="a"}': "0x5 1x20"}, 5, 10),
    ("ColumnsDropped", {"forebay_columns_dropped_total": "0x5 7x20"}, 5, 10),
    ("EntrySetAside", {'forebay_entries_set_aside_total{reason="damaged"}': "0x5 1x20"}, 5, 10),
    ("RateLimited", {'forebay_events_rejected_total{site="a", reason="rate_limited"}': "0x5 0+9x60"}, 5, 30),
    ("RateLimited", {'forebay_events_rejected_total{site="a", reason="rate_limited"}': "0x5 900x60"}, 30, None),
    ("ReloadFailed", {'forebay_reload_failed_total{instance="a", what="country_database"}': "0x5 1x20"}, 5, 10),
    ("ClocksApart", {'forebay_clock_skew_seconds{instance="a", clock="redis"}': "0x5 9x20"}, 5, 12),
    ("InsertRetries", {'forebay_insert_retries_total{instance="a", kind="unclear"}': "0x5 0+6x30"}, 5, 20),
    ("InsertRetries", {'forebay_insert_retries_total{instance="a", kind="unclear"}': "0x5 3x30"}, 15, None),
    ("SpoolInUse", {'forebay_spool_bytes{instance="a"}': "0x5 5000x20"}, 5, 10),
    ("SpoolLag", {'forebay_spool_lag_seconds{instance="a"}': "0x5 900x20"}, 5, 10),
    ("LedgerGap", {'forebay_ledger_gap_events{shard="0"}': "0x5 -3x20"}, 5, 15),
    ("Shed", {'forebay_events_shed_total{reason="redis"}': "0x5 10x20"}, 5, 7),
    ("Shed", {'forebay_events_shed_total{reason="redis"}': "0x5 10x20"}, 15, 7),
    ("NotReady", {'forebay_ready{instance="a"}': "1x5 0x20"}, 5, 10),
    ("NothingAccepted", {"forebay_events_accepted_total": "0+10x60 600x60"}, 60, 100),
    ("NothingAccepted", {"forebay_events_accepted_total": "0x120"}, 100, None),
    ("IdWindowShort", {'forebay_id_window_seconds{instance="a"}': "86400x5 3600x30"}, 10, 25),
    ("IdWindowShort", {'forebay_id_window_seconds{instance="a"}': "0x5 86400x30"}, 25, None),
    ("Dead", {'forebay_events_dead_total{reason="117"}': "0x5 1x20"}, 5, 10),
    ("BlockHealed", {"forebay_block_healed_total": "0x5 1x20"}, 5, 10),
    ("BlocksMissing", {'forebay_blocks_missing_total{fate="gone"}': "0x5 1x20"}, 5, 10),
    ("BlocksMissing", {'forebay_blocks_missing_total{fate="delivered_again"}': "0x5 1x20"}, 10, None),
    ("PasswordsGuessed", {'forebay_dashboard_logins_total{fate="throttled_address"}': "0x5 0+9x20"}, 7, 15),
    ("PasswordsGuessed", {'forebay_dashboard_links_total{fate="wrong"}': "0x5 0+9x20"}, 7, 15),
    ("PasswordsGuessed", {'forebay_dashboard_logins_total{fate="wrong"}': "0x5 9x20"}, 15, None),
    ("PasswordsGuessed", {'forebay_dashboard_logins_total{fate="in"}': "0x5 0+99x20"}, 15, None),
    ("MessageFailed", {failed("report", "mail", "refused"): "0x5 1x20"}, 5, 10),
    ("MessageFailed", {failed("login", "", "nowhere"): "0x5 1x20"}, 5, 10),
    ("ReportsWait", {ATTEMPTS.format("timeout"): "1x20 2x30 3x30 4x30 5x30"}, 60, 90),
    ("ReportsWait", {ATTEMPTS.format("busy"): "0x5 1 2 2 3 3 3 4x99"}, 60, None),  # a server's "later" to a new sender
    ("ReportsWait", {'forebay_dashboard_report_looks_total{result="clickhouse"}': "1x20 2x30 3x30 4x30"}, 60, 90),
    ("ReportsWait", {'forebay_dashboard_report_looks_total{result="done"}': "0+6x120"}, 90, None),
    ("DashboardDown", {'up{job="forebay-dashboard"}': "1x5 0x20"}, 8, 15),
    ("Down", {'up{job="forebay-dashboard"}': "0x30", **UP}, 20, None),
    ("Down", {'up{job="forebay-ingest"}': "1x5 0x20", 'up{job="forebay-flusher"}': "1x30"}, 5, 10),
    ("Down", {'up{job="forebay-ingest"}': "1x30", 'up{job="forebay-flusher"}': "1x5 stale"}, 5, 10),
]


def expectation(alert: str, minute: int | None, *, has_risen: bool) -> list[dict[str, Any]]:
    if minute is None:
        return []
    seen = [{"labels": "{}", "value": 1}] if has_risen else []
    expression = f'count(ALERTS{{alertname="Forebay{alert}", alertstate="firing"}})'
    return [{"expr": expression, "eval_time": f"{minute}m", "exp_samples": seen}]


def test_every_alert_has_a_rise_to_be_tested(deploy: Path) -> None:
    """Seen without promtool too: a rule that nothing was ever made to call for may never rise."""
    assert {rule["alert"] for rule in rules(deploy)} == {f"Forebay{alert}" for alert, *_ in RISES}


def test_alerts_rise_when_they_should(deploy: Path, tmp_path: Path) -> None:
    """Prometheus's own evaluation of each rule, on series that call for it and on series that do not."""
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": expectation(alert, quiet, has_risen=False) + expectation(alert, loud, has_risen=True),
        }
        for alert, series, quiet, loud in RISES
    ]
    file = tmp_path / "alerts.test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(deploy / "prometheus" / "alerts.yml")], "tests": tests}))
    done = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration(deploy: Path, tmp_path: Path) -> None:
    """Configuration and rules, as the server would read them, with the files that the overlay puts beside them."""
    mounted = tmp_path / "dashboard"
    mounted.mkdir()
    (mounted / "key").write_text("fbk_x\n")
    shutil.copyfile(deploy / "prometheus" / "dashboard.yml", mounted / "targets.yml")
    shutil.copyfile(deploy / "prometheus" / "alerts.yml", tmp_path / "alerts.yml")
    text = (deploy / "prometheus" / "prometheus.yml").read_text("utf-8")
    assert "/etc/prometheus/dashboard/" in text
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/dashboard/", f"{mounted}/"))
    words = [program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_asks_for_metrics_that_exist(deploy: Path, metrics: set[str]) -> None:
    """Every query, of the data source that is provisioned."""
    (source,) = yaml.safe_load((deploy / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))[
        "datasources"
    ]
    board = json.loads((deploy / "grafana/dashboards/forebay.json").read_text("utf-8"))
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == source["uid"]
        for target in panel["targets"]:
            used = METRIC.findall(target["expr"])
            assert used, panel["title"]
            assert set(used) <= metrics, panel["title"]


def test_grafana_finds_its_dashboards(checkout: Path, deploy: Path) -> None:
    """The provider's path is where compose mounts the folder."""
    provider = yaml.safe_load((deploy / "grafana/provisioning/dashboards/forebay.yml").read_text("utf-8"))
    path = provider["providers"][0]["options"]["path"]
    services = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))["services"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in services["grafana"]["volumes"]


# Caddy


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers it was sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        said = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(202)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent."""


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of an HTTP server that echoes headers."""
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def posted(port: int, headers: dict[str, str]) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/f", b"{}", headers)
        answer = connection.getresponse()
        assert answer.status == 202
        found: dict[str, str] = json.loads(answer.read())
        return found
    finally:
        connection.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(("name", "upstreams"), [("PUBLIC_NAME", "UPSTREAM"), ("DASHBOARD_NAME", "DASHBOARD_UPSTREAM")])
def test_caddy_passes_no_address_that_a_client_chose(
    deploy: Path, upstream: int, tmp_path: Path, name: str, upstreams: str
) -> None:
    """What is believed of a trusted proxy is the proxy's word: the peer's address and nothing else. Each name leads to its own process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HOME": str(tmp_path), "UPSTREAM": "127.0.0.1:1", "DASHBOARD_UPSTREAM": "127.0.0.1:1"}
    environment |= dict.fromkeys(("PUBLIC_NAME", "DASHBOARD_NAME"), f"http://localhost:{port}")
    environment |= {name: f"http://127.0.0.1:{port}", upstreams: f"127.0.0.1:{upstream}"}
    words = [proxies.program("caddy"), "run", "--config", str(deploy / "caddy" / "Caddyfile"), "--adapter", "caddyfile"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, env=environment, stderr=log, stdout=log)
    try:
        wait_until(lambda: listens(port))
        spoofed = dict.fromkeys(("X-Forwarded-For", "CF-Connecting-IP"), "192.0.2.1")
        seen = posted(port, {**spoofed, "Forwarded": "for=192.0.2.1", "CF-IPCountry": "AQ", "User-Agent": "test"})
    finally:
        process.terminate()
        process.wait()
    assert seen["host"] == f"127.0.0.1:{port}"
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["user-agent"] == "test"
    assert not {"cf-connecting-ip", "forwarded", "cf-ipcountry"} & set(seen)


# systemd


@pytest.mark.skipif(not SYSTEMD, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(deploy: Path, tmp_path: Path) -> None:
    """Nothing in it is unknown or misspelt; the program it starts is there only once installed."""
    unit = (deploy / "systemd" / "forebay.service").read_text("utf-8")
    assert "/opt/forebay/bin/forebay up " in unit
    file = tmp_path / "forebay.service"
    file.write_text(unit.replace("/opt/forebay/bin/forebay up ", "/bin/true "))
    done = subprocess.run([SYSTEMD or "", "verify", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_services_command_knows_what_the_service_knows(deploy: Path, tmp_path: Path) -> None:
    """deploy/systemd/forebay, with the example's settings switched on: its data, its public URL; the shell's own win."""
    environment = tmp_path / "forebay.env"
    example = (deploy / "systemd" / "forebay.env").read_text("utf-8")
    environment.write_text(example.replace("#FOREBAY_", "FOREBAY_").replace("FOREBAY_CONFIG", "#FOREBAY_CONFIG"))
    data, command = tmp_path / "data", tmp_path / "forebay"
    (tmp_path / "redis").mkdir()
    script = (deploy / "systemd" / "forebay").read_text("utf-8")
    for installed, here in (
        ("/opt/forebay/bin/forebay", Path(sys.executable).with_name("forebay")),
        ("/etc/forebay/forebay.env", environment),
        ("/var/lib/forebay", data),
    ):
        assert installed in script
        script = script.replace(installed, str(here))
    command.write_text(script)
    command.chmod(0o755)

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        words = [str(command), "site", "add", "example.net"]
        return subprocess.run(words, env={**os.environ, **more}, capture_output=True, text=True, check=False)

    done = run()
    assert (done.returncode, f"no `forebay up` runs on {data}" in done.stderr) == (2, True), done.stderr
    server = RedisServer(deploy / "redis.conf", tmp_path / "redis")
    try:
        data.mkdir()
        (data / "run.json").write_text(json.dumps({"redis_url": f"unix://{tmp_path / 'redis' / 's'}"}))
        assert 'src="https://stats.example.com/f.js"' in run().stdout
        assert 'src="https://other.example/f.js"' in run(FOREBAY_PUBLIC_URL="https://other.example").stdout
        environment.unlink()
        assert run().returncode == 0, "the service starts without it, too"
    finally:
        server.kill()
