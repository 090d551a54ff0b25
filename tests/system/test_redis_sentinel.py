"""The master behind Sentinels is found by its name, before and after a failover, and with TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forebay.clickhouse import ClickHouse
from tests.support import redis_cluster
from tests.support.command import forebay
from tests.support.delivering import delivering
from tests.support.engine import EngineProcess
from tests.support.redis_cluster import SECONDS, Server
from tests.support.waiting import wait_until

NAME = "mymaster"
SENTINELS = 3


def test_a_master_is_found_again_after_a_failover(
    tmp_path: Path, engine: EngineProcess, clickhouse: ClickHouse
) -> None:
    """The Sentinels name the promoted replica. No event is refused, lost or stored twice.

    Nothing is on its way to the replica when it is promoted: what is has a test of its own.
    """
    url = f"http://127.0.0.1:{engine.port}"
    with (
        redis_cluster.several(tmp_path / "redis", 2) as (master, replica),
        _sentinels(tmp_path / "sentinels", master) as sentinels,
        delivering(tmp_path / "forebay", clickhouse, url) as it,
    ):
        redis_url = f"redis+sentinel://{','.join(one.address for one in sentinels)}/{NAME}/0"
        replica.ask("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: replica.client.info("replication").get("master_link_status") == "up", seconds=SECONDS)
        wait_until(lambda: all(_knows_all(one) for one in sentinels), seconds=SECONDS)
        it.start(redis_url)
        it.load.more(50)
        with it.load.paused():
            wait_until(lambda: _offset(replica) == _offset(master), seconds=SECONDS)
            sentinels[1].ask("SENTINEL", "FAILOVER", NAME)
            wait_until(lambda: replica.client.info("replication")["role"] == "master", seconds=SECONDS)
            # Until the old master is demoted it takes commits that nobody keeps: without replicas these are lost, or come twice.
            wait_until(lambda: master.client.info("replication")["role"] == "slave", seconds=SECONDS)
        it.load.more(50)
        sentinels[0].kill()  # the first of the URL
        it.load.more(20)
        assert it.load.refused == 0, it.said
        it.load.end()
        it.stored_once()
        found = forebay("site", "add", "example.org", redis_url=redis_url, clickhouse_url=url)
        assert found.returncode == 0, found.stderr
        assert replica.client.hexists("forebay:sites", "example.org")


def _offset(server: Server) -> int:
    """Returns how far a server's replication stream has come. The flusher's keepers move it all the time."""
    return int(server.client.info("replication")["master_repl_offset"])


def _knows_all(sentinel: Server) -> bool:
    """Says whether a Sentinel knows the replica and the other Sentinels, without which nothing is promoted."""
    said = sentinel.ask("SENTINEL", "MASTER", NAME)
    fields = dict(zip(said[::2], said[1::2], strict=True))
    return int(fields[b"num-slaves"]) == 1 and int(fields[b"num-other-sentinels"]) == SENTINELS - 1


@contextmanager
def _sentinels(directory: Path, master: Server) -> Iterator[list[Server]]:
    """Yields Sentinels that watch a master, and of which two must agree."""
    servers = []
    try:
        for port in redis_cluster.free_ports(SENTINELS):
            home = directory / str(port)
            home.mkdir(parents=True)
            (home / "sentinel.conf").write_text(
                f"port {port}\nbind 127.0.0.1\ndir {home}\nprotected-mode no\n"
                f"sentinel monitor {NAME} 127.0.0.1 {master.port} 2\n"
                f"sentinel down-after-milliseconds {NAME} 2000\nsentinel failover-timeout {NAME} 10000\n"
            )
            server = Server(home, port, {}, words=[str(home / "sentinel.conf"), "--sentinel"])
            servers.append(server)
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


def test_client_certificates(tmp_path: Path, engine: EngineProcess, clickhouse: ClickHouse) -> None:
    """With its certificate every process reaches a Redis that asks for one; without, it says why it can't."""
    url = f"http://127.0.0.1:{engine.port}"
    ca, cert, key = _certificates(tmp_path)
    tls = {"tls_cert_file": cert, "tls_key_file": key, "tls_ca_cert_file": ca, "tls_auth_clients": "yes"}
    files = {"redis_ca": ca, "redis_cert": cert, "redis_cert_key": key}
    with (
        redis_cluster.several(tmp_path / "redis", 1, is_tls=True, **tls) as (server,),
        delivering(tmp_path / "forebay", clickhouse, url, **files) as it,
    ):
        redis_url = f"rediss://{server.address}/0"
        it.start(redis_url)
        it.load.more(20)
        it.load.end()
        it.stored_once()
        assert "the books balance" in forebay("audit", redis_url=redis_url, clickhouse_url=url, **files).stdout
        without = forebay("site", "list", redis_url=redis_url, redis_ca=ca)
        assert without.returncode == 1
        assert "forebay site: Redis at" in without.stderr
        assert "Traceback" not in without.stderr


def _certificates(directory: Path) -> tuple[str, str, str]:
    """Returns the paths of a CA, and of a certificate of 127.0.0.1 with its key."""
    ca, ca_key, cert, key, request = (str(directory / name) for name in ("ca", "ca.key", "cert", "key", "request"))
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"]
    for command in (
        [*new, "/CN=CA", "-x509", "-days", "2", "-keyout", ca_key, "-out", ca],
        [*new, "/CN=127.0.0.1", "-keyout", key, "-out", request],
        ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
         "-extfile", str(extensions), "-out", cert],
    ):  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    return ca, cert, key
