"""docker-compose itself accepts the file, and its health checks hold."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from schemas.settings import DashboardSettings, FlusherSettings, IngestSettings
from tests.support.system import running

SECRETS = (
    "CLICKHOUSE_MIGRATE_PASSWORD",
    "CLICKHOUSE_FLUSHER_PASSWORD",
    "CLICKHOUSE_DASHBOARD_PASSWORD",
    "GRAFANA_PASSWORD",
)

COMPOSE = shutil.which("docker-compose")


@pytest.fixture(scope="module")
def compose(checkout: Path) -> Any:
    """The file, its aliases and merges resolved."""
    return yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))


@pytest.mark.skipif(not COMPOSE, reason="docker-compose is not installed")
def test_docker_compose_accepts_it(checkout: Path, tmp_path: Path) -> None:
    """With the secrets it is valid; without one it is refused, and the secret is named."""
    file = tmp_path / "env"  # not the .env of whoever runs this
    words = [COMPOSE or "", "--env-file", str(file), "--file", str(checkout / "docker-compose.yml"), "config", "-q"]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    lines = [f"{name}=secret\n" for name in SECRETS]
    file.write_text("".join(lines))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for missing in lines:
        file.write_text("".join(line for line in lines if line != missing))
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "is not set" in done.stderr


def together(checkout: Path, tmp_path: Path, overlay: str) -> Any:
    """Returns the services that docker-compose makes of docker-compose.yml and a file over it."""
    file = tmp_path / "env"
    file.write_text("".join(f"{name}=secret\n" for name in SECRETS))
    words = [COMPOSE or "", "--env-file", str(file)]
    for name in ("docker-compose.yml", overlay):
        words += ["--file", str(checkout / name)]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    done = subprocess.run([*words, "config"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return yaml.safe_load(done.stdout)["services"]


@pytest.mark.skipif(not COMPOSE, reason="docker-compose is not installed")
def test_docker_compose_accepts_the_cluster_over_it(checkout: Path, tmp_path: Path) -> None:
    """Both files together: what the first says of ingest still holds, and it waits until the cluster is made."""
    services = together(checkout, tmp_path, "deploy/redis-cluster.yml")
    ingest, dashboard = services["ingest"], services["dashboard"]
    assert ingest["environment"]["FOREBAY_REDIS_URL"].startswith("redis+cluster://")
    assert ingest["environment"]["FOREBAY_SPOOL_DIR"]
    assert dashboard["environment"]["FOREBAY_REDIS_URL"] == ingest["environment"]["FOREBAY_REDIS_URL"]
    assert dashboard["environment"]["FOREBAY_CLICKHOUSE_USER"] == "forebay_dashboard"
    for name in ("ingest", "flusher", "dashboard"):  # of which each is stopped before any node
        assert set(services[name]["depends_on"]) >= {"redis", "redis-2", "redis-3", "redis-join"}, name


@pytest.mark.skipif(not COMPOSE, reason="docker-compose is not installed")
def test_docker_compose_accepts_the_dashboards_metrics_over_it(checkout: Path, tmp_path: Path) -> None:
    """Prometheus has what it had, and the two files beside it."""
    mounted = str(together(checkout, tmp_path, "deploy/dashboard-metrics.yml")["prometheus"]["volumes"])
    for target in ("alerts.yml", "prometheus.yml", "dashboard/targets.yml", "dashboard/key"):
        assert f"/etc/prometheus/{target}" in mounted


def health_command(compose: Any, service: str, port: int) -> list[str]:
    """The service's health check, aimed at another port of this machine."""
    kind, program, *words = compose["services"][service]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    default = {
        "ingest": IngestSettings().internal_port,
        "flusher": FlusherSettings().flusher_internal_port,
        "dashboard": DashboardSettings().dashboard_port,
    }[service]
    assert f":{default}/" in words[-1]
    return [sys.executable, *words[:-1], words[-1].replace(f":{default}/", f":{port}/")]


async def test_health_checks_hold_while_the_processes_run(compose: Any, tmp_path: Path) -> None:
    """Each command succeeds against its process, whose /healthz answers too, and fails against none."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = unused.getsockname()[1]
        async with running(tmp_path) as system:
            facts = await system.ready()
            for service, url in (
                ("ingest", facts["internal_url"]),
                ("flusher", facts["flusher_internal_url"]),
                ("dashboard", facts["dashboard_url"]),
            ):
                good = health_command(compose, service, int(url.rpartition(":")[2]))
                assert subprocess.run(good, capture_output=True, check=False).returncode == 0
                bad = health_command(compose, service, nobody)
                assert subprocess.run(bad, capture_output=True, check=False).returncode != 0
                with urlopen(f"{url}/healthz") as answer:
                    assert answer.status == 200
            assert await system.stop() == 0
