"""deploy/redis-cluster.yml: its settings are accepted, and its script makes three servers with its command line a cluster.

No container runs here, and addresses are those of this machine.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime import settings
from schemas.redis.address import Address, Kind
from schemas.settings import DashboardSettings, FlusherSettings, IngestSettings
from tests.support import redis_cluster
from tests.support.redis_cluster import SECONDS
from tests.support.waiting import wait_until

NODES = ("redis", "redis-2", "redis-3")


@pytest.fixture(scope="module")
def overlay(checkout: Path) -> Any:
    """Returns the overlay's content."""
    return yaml.safe_load((checkout / "deploy" / "redis-cluster.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def base(checkout: Path) -> Any:
    """Returns the content of the file that it lies over."""
    return yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("service", "kind"), [("ingest", IngestSettings), ("flusher", FlusherSettings), ("dashboard", DashboardSettings)]
)
def test_the_processes_know_all_nodes(
    overlay: Any, service: str, kind: type[IngestSettings] | type[FlusherSettings] | type[DashboardSettings]
) -> None:
    """By their services' names, as a cluster."""
    loaded = settings.read(kind, environment=overlay["services"][service]["environment"], toml={}, table="")
    address = Address.parse(loaded.redis_url)
    assert address.kind is Kind.CLUSTER
    assert tuple(node.host for node in address.seeds) == NODES


def test_nodes_are_alike(overlay: Any, base: Any) -> None:
    """They have the first one's image, settings and limits, and volumes and addresses of their own."""
    services = {name: base["services"].get(name, {}) | overlay["services"][name] for name in NODES}
    for same in ("image", "command", "restart", "security_opt", "logging", "healthcheck", "stop_grace_period"):
        assert services["redis"][same] == services["redis-2"][same] == services["redis-3"][same], same
    assert len({services[name]["networks"]["stream"]["ipv4_address"] for name in NODES}) == len(NODES)
    assert len({services[name]["volumes"][0] for name in NODES}) == len(NODES)
    assert overlay["services"]["redis-join"]["image"] == services["redis"]["image"]


def test_the_script_makes_a_cluster(tmp_path: Path, checkout: Path, overlay: Any) -> None:
    """Started with deploy/redis.conf and the command line of the overlay; a second run finds it made."""
    cli = redis_cluster.command_line()
    program, mounted, *options = overlay["services"]["redis"]["command"]
    assert (program, mounted) == ("redis-server", "/etc/redis.conf")
    text = (checkout / "deploy" / "redis.conf").read_text("utf-8")
    ports = redis_cluster.free_ports(len(NODES))
    script = " ".join(overlay["services"]["redis-join"]["command"][2:])
    for name, port in zip(NODES, ports, strict=True):
        address = overlay["services"][name]["networks"]["stream"]["ipv4_address"]
        script = script.replace(f"{address}:6379", f"127.0.0.1:{port}").replace(
            f"-h {address} -p 6379", f"-h 127.0.0.1 -p {port}"
        )
    script = script.replace("redis-cli", cli)
    own = {"maxmemory": "64mb", "bind": "127.0.0.1"}
    servers = [redis_cluster.server_in(tmp_path / str(port), port) for port in ports]
    try:
        for server in servers:
            server.settings = {"port": str(server.port), "dir": str(server.directory), **own}
            configuration = server.directory / "redis.conf"
            configuration.write_text(text.replace("dir /data", f"dir {server.directory}"), "utf-8")
            server.words = [str(configuration), *options]
            server.start()
        for _ in range(2):
            subprocess.run(["sh", "-ec", script], check=True, capture_output=True, timeout=SECONDS)
        nodes = redis_cluster.Nodes(servers, len(servers))
        wait_until(nodes.agree, seconds=SECONDS)
        assert len({nodes.owner(slot).address for slot in (0, 8_000, 16_383)}) == len(NODES)
    finally:
        for server in servers:
            server.stop()
