"""Runs a real Caddy and a real nginx, which the machine has or `make test` has unpacked, in front of a port of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.unpacked import unpacked
from tests.support.waiting import wait_until

NGINX = """
daemon off;
worker_processes 1;
error_log stderr;
pid {directory}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  {servers}
}}
"""


def program(name: str) -> str:
    """Returns the path of `caddy` or `nginx`."""
    return unpacked(name, "proxies-debian", "proxies-debian/usr/bin", "proxies-debian/usr/sbin")


@contextmanager
def caddy(directory: Path, sites: str, *ports: int) -> Iterator[None]:
    """Runs a Caddy with these sites inside the block, as soon as it listens on all these ports."""
    directory.mkdir()
    file = directory / "Caddyfile"
    options = "{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n"
    file.write_text(options + sites)
    home = {name: str(directory) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    words = [program("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]
    with _running(words, directory, ports, home):
        yield


@contextmanager
def nginx(directory: Path, servers: str, *ports: int) -> Iterator[None]:
    """Runs an nginx with these servers inside the block, as soon as it listens on all these ports."""
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, servers=servers))
    words = [program("nginx"), "-p", str(directory), "-c", str(file), "-e", "stderr"]
    with _running(words, directory, ports, {}):
        yield


@contextmanager
def _running(words: list[str], directory: Path, ports: tuple[int, ...], more: dict[str, str]) -> Iterator[None]:
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | more, cwd=directory)
    try:

        def is_there() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            return all(_is_taken(port) for port in ports)

        wait_until(is_there, seconds=120)
        yield
    finally:
        process.terminate()
        process.wait()


def _is_taken(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            return True
    except OSError:
        return False
