"""Makes the images that docker-compose.yml asks for, because no registry is asked.

debootstrap makes a base from the mirror that apt itself uses. On it a stand-in for each image is built, under the name
by which the files know it. A stand-in proves that the files work together; it proves nothing about the version that it
stands for.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.compose.checks import Failed, run
from tests.compose.engine import Engine

BASE = "forebay-base:bookworm"
SYSTEMD = "forebay-systemd:bookworm"
SUITE = "bookworm"
SAID = {
    "python": "Debian's Python 3.11 and pip",
    "redis": "Debian's redis-server",
    "prometheus": "Debian's Prometheus",
    "clickhouse": "the engine of forebay up behind an nginx, without users and passwords",
    "systemd": "Debian's systemd as the first process",
}
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
FILES = Path(__file__).with_name("stand_ins")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Of this machine's pip, for the installs inside: where packages come from, and whom it trusts.
PIP_KEYS = ("cert", "extra-index-url", "index-url", "proxy", "timeout", "trusted-host")


def images_of(checkout: Path) -> dict[str, str]:
    """Returns the images that the files name, by their stand-ins."""
    services: dict[str, Any] = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))["services"]
    first = re.search(r"^FROM (\S+)", (checkout / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert first is not None
    found = {name: services[name]["image"] for name in ("redis", "prometheus", "clickhouse")}
    return {"python": first[1], **found, "systemd": SYSTEMD}


def make_base(engine: Engine, directory: Path) -> None:
    """Makes a Debian with Python; takes one to three minutes."""
    root = directory / "root"
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, _mirror(), seconds=900)
    if CERTIFICATES.exists():
        shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    (root / "etc/pip.conf").write_text(_pip_configuration(), "utf-8")
    archive = directory / "base.tar"
    run("tar", "--create", "--one-file-system", "--directory", root, "--file", archive, ".", seconds=120)
    engine.docker("import", archive, BASE, seconds=120)
    archive.unlink()
    shutil.rmtree(root)


def make_stand_in(engine: Engine, name: str, image: str, directory: Path, checkout: Path) -> None:
    """Builds stand_ins/NAME.Dockerfile as `image`."""
    context = directory / "context"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(FILES, context)
    shutil.copyfile(checkout / "requirements/embedded.txt", context / "embedded.txt")
    engine.docker("build", "--tag", image, "--file", context / f"{name}.Dockerfile", context, seconds=600)
    shutil.rmtree(context)


def outside() -> tuple[str, int]:
    """Returns an address outside this machine that answers: the mirror's, with its port."""
    parts = urlsplit(_mirror())
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return socket.gethostbyname(parts.hostname or ""), port


def _mirror() -> str:
    """Returns where apt would take that Debian's `bash` from. Raises Failed if it knows no such place."""
    said = run("apt-cache", "policy", "bash", seconds=30)
    found = re.search(rf"(https?://\S+) {SUITE}/main ", said)
    if found is None:
        raise Failed(f"apt has no mirror of Debian's {SUITE}: a Debian 12 is needed")
    return found[1]


def _pip_configuration() -> str:
    lines = ["[global]"]
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    for line in said.stdout.splitlines():
        name, _, value = line.partition("=")
        if name.rpartition(".")[2] in PIP_KEYS:
            lines.append(f"{name.rpartition('.')[2]} = {value.strip(chr(39))}")
    return "\n".join(dict.fromkeys(lines)) + "\n"
