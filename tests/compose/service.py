"""Walks through deploy/systemd on a Debian that systemd started, by the words of deploy/README.md."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path
from urllib.request import urlopen

import orjson

from tests.compose.checks import Checks, Failed
from tests.compose.engine import Engine
from tests.compose.images import SYSTEMD
from tests.compose.load import post, posting, shortfall
from tests.support.posting import Posted
from tests.support.waiting import wait_until

NAME = "forebay-machine"
UNIT = "forebay.service"
SITE = "posting.example"  # of tests.support.posting
INGEST = "http://127.0.0.1:8000"
EVENTS = 50
SETTINGS = "/etc/forebay/forebay.env"
HERE = "/root/forebay"
INSTALL_SECONDS = 600
READY_SECONDS = 120
STORED_SECONDS = 60
# What systemd needs of an engine to be the first process, on either version of control groups.
OPTIONS = (
    *("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"),  # noqa: S108 - in the container
    *("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--env", "container=docker"),
    *("--network", "host"),  # the engine's, which is nobody else's: the service listens on loopback
)


class Machine:
    """Holds a container in which systemd runs and the checkout lies in /root."""

    def __init__(self, engine: Engine, checkout: Path) -> None:
        self._engine = engine
        self.commands, self.mentioned = commands_of((checkout / "deploy/README.md").read_text("utf-8"), "## systemd")
        self.upgrade, _ = commands_of(
            (checkout / "docs/upgrading.md").read_text("utf-8"), "## `forebay up` under systemd"
        )
        engine.docker("run", "--detach", "--name", NAME, *OPTIONS, SYSTEMD, "/sbin/init")
        self.run(f"mkdir {HERE}")
        self._copy(checkout)

    def _copy(self, checkout: Path) -> None:
        """Copies the files that git knows, as a clone would have them, and new ones."""
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = subprocess.run(listed, cwd=checkout, capture_output=True, text=True, check=True).stdout.split("\0")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name in names:
                if name and (checkout / name).is_file():
                    archive.add(checkout / name, name)
        self._engine.copy(packed.getvalue(), f"{NAME}:{HERE}")

    def run(self, script: str, *, seconds: float = 60) -> str:
        """Returns what lines of shell print, run by root in the checkout, up to the first that fails. Raises Failed."""
        there = ("--workdir", HERE) if script != f"mkdir {HERE}" else ()
        return self._engine.docker("exec", *there, NAME, "bash", "-euc", script, seconds=seconds)

    def property_of(self, name: str) -> str:
        """Returns a property of the service, as systemd knows it."""
        return self.run(f"systemctl show --property {name} --value {UNIT}").strip()

    def wait_ready(self) -> None:
        """Waits until an event would be accepted. Raises with the service's last lines."""
        try:
            wait_until(_is_ready, READY_SECONDS)
        except AssertionError as error:
            raise Failed(f"not ready: {self.run(f'journalctl --unit {UNIT} --lines 12 --output cat')}") from error

    def assert_stored(self, posted: Posted) -> None:
        """Checks that every acknowledged event is stored once, soon."""
        query = f"SELECT event_id FROM forebay.events WHERE site = '{SITE}'"
        said = [""]

        def is_whole() -> bool:
            try:
                stored = self.run(f'forebay query --format TabSeparated "{query}"').split()
            except Failed as error:  # it is not up yet
                said[0] = str(error)
            else:
                said[0] = shortfall(posted, stored)
            return not said[0]

        try:
            wait_until(is_whole, STORED_SECONDS)
        except AssertionError as error:
            raise AssertionError(said[0]) from error


def commands_of(page: str, title: str) -> tuple[str, list[str]]:
    """Returns the commands that a page has under a title: its block of them, and those of the service in its sentences."""
    section = page.partition(f"\n{title}\n")[2].partition("\n## ")[0]
    block = re.search(r"^(?:    .+\n)+", section, re.MULTILINE)
    assert block is not None
    return block[0], list(dict.fromkeys(re.findall(r"`sudo (forebay [a-z][^`]+)`", section)))


def _is_ready() -> bool:
    try:
        with urlopen("http://127.0.0.1:8001/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def walk(checks: Checks, engine: Engine, checkout: Path) -> None:
    """Installs the service as the page says, uses it, disturbs it, misconfigures it, stops it."""
    with checks.check("systemd: a Debian is up", is_needed=True):
        machine = Machine(engine, checkout)
        wait_until(lambda: _state(machine) == "running", 60)
    with checks.check("systemd: the page's commands, as written, one after the other", is_needed=True):
        machine.run(machine.commands, seconds=INSTALL_SECONDS)
    with checks.check("systemd: the service is ready", is_needed=True):
        machine.wait_ready()
    _used(checks, machine)
    _disturbed(checks, machine)
    _upgraded(checks, machine)
    _misconfigured(checks, machine)
    with checks.check("systemd: every line of the service in the journal is JSON with a level") as figures:
        lines = machine.run(f"journalctl _SYSTEMD_UNIT={UNIT} --output cat").splitlines()
        assert lines
        bad = [line for line in lines if not _is_json(line)]
        assert not bad, f"{len(bad)} of {len(lines)}: {bad[:3]}"
        figures.append(f"{len(lines)} lines")
    with checks.check("systemd: it stops in order"):
        machine.run(f"systemctl stop {UNIT}", seconds=60)
        found = machine.property_of("Result"), machine.property_of("ExecMainStatus")
        assert found == ("success", "0"), found
    engine.docker("rm", "--force", "--volumes", NAME)


def _state(machine: Machine) -> str:
    return machine.run("systemctl is-system-running || true").strip()


def _is_json(line: str) -> bool:
    try:
        return "level" in orjson.loads(line)
    except (ValueError, TypeError):
        return False


def _used(checks: Checks, machine: Machine) -> None:
    with checks.check("systemd: it runs as a user of its own, without capabilities, and its data is nobody else's"):
        status = machine.run(f"cat /proc/{machine.property_of('MainPID')}/status")
        user = int(re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)[0])
        assert 61184 <= user <= 65519, f"user {user} is none of DynamicUser's"
        assert "CapEff:\t0000000000000000" in status
        assert machine.run("stat --format '%a %u' /var/lib/private/forebay").split() == ["700", str(user)]
    posted = Posted(INGEST, "first")
    with checks.check(f"systemd: {EVENTS} events are stored once") as figures:
        assert f"{INGEST}/f.js" in machine.run(f"forebay site add {SITE}").replace("localhost", "127.0.0.1")
        wait_until(lambda: _is_taken(posted), 30)
        post(posted, EVENTS)
        machine.assert_stored(posted)
        figures.append(f"{len(posted.acknowledged)} of {len(posted.acknowledged)}")
    for command in machine.mentioned:
        with checks.check(f"systemd: {command}"):
            machine.run(f"mkdir --parents /mnt/backup; {command}", seconds=120)
    with checks.check("systemd: metrics of both tiers are where the page says"):
        for port in (8001, 8002):
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                assert b"forebay_build_info" in answer.read()


def _is_taken(posted: Posted) -> bool:
    post(posted, 1)
    return bool(posted.acknowledged)


def _disturbed(checks: Checks, machine: Machine) -> None:
    def under_load(name: str, *, keeps_process: bool) -> Posted:
        posted = Posted(INGEST, name.partition(" ")[0])
        before = machine.property_of("MainPID")
        with posting(posted):
            wait_until(lambda: len(posted.acknowledged) > EVENTS, 60)
            machine.run(f"systemctl {name} {UNIT}", seconds=90)
            wait_until(lambda: machine.property_of("MainPID") not in {"0", "" if keeps_process else before}, 30)
            machine.wait_ready()
            after = len(posted.acknowledged) + EVENTS
            wait_until(lambda: len(posted.acknowledged) > after, 60)
        assert (machine.property_of("MainPID") == before) is keeps_process
        machine.assert_stored(posted)
        return posted

    with checks.check("systemd: reload under load replaces the workers, and no request fails") as figures:
        before = _workers(machine)
        posted = under_load("reload", keeps_process=True)
        wait_until(lambda: not before & _workers(machine), 60)
        assert not posted.at_fault(), posted.at_fault()
        figures.append(f"{len(posted.acknowledged)} acknowledged, none failed")
    for name in ("restart", "kill --signal KILL --kill-who main"):
        what = name.partition(" ")[0]
        with checks.check(f"systemd: {what} under load, and every acknowledged event is stored once") as figures:
            posted = under_load(name, keeps_process=False)
            figures.append(f"{len(posted.acknowledged)} acknowledged, {len(posted.unclear)} not")
    with checks.check("systemd: the books balance after all that: forebay audit"):
        machine.run("forebay audit")


def _upgraded(checks: Checks, machine: Machine) -> None:
    with checks.check("systemd: an upgrade by the page's commands under load loses nothing") as figures:
        posted = Posted(INGEST, "upgrade")
        script = re.sub(r"^    git pull .*$", "", machine.upgrade, flags=re.MULTILINE)  # the checkout is new already
        assert script != machine.upgrade
        before = machine.property_of("MainPID")
        with posting(posted):
            wait_until(lambda: len(posted.acknowledged) > EVENTS, 60)
            machine.run(script, seconds=INSTALL_SECONDS)
            machine.wait_ready()
            after = len(posted.acknowledged) + EVENTS
            wait_until(lambda: len(posted.acknowledged) > after, 60)
        assert machine.property_of("MainPID") != before
        machine.assert_stored(posted)
        figures.append(f"{len(posted.acknowledged)} acknowledged, {len(posted.unclear)} not")


def _workers(machine: Machine) -> set[int]:
    """Returns the pids of ingest's workers, as the service wrote them down."""
    found = set(orjson.loads(machine.run("cat /var/lib/forebay/run.json"))["pids"]["ingest"])
    assert found
    return found


def _misconfigured(checks: Checks, machine: Machine) -> None:
    with checks.check("systemd: with a wrong setting the service stays down with exit status 2, and says which"):
        machine.run(f"cp {SETTINGS} {SETTINGS}.kept; echo FOREBAY_WORKERS=many >>{SETTINGS}")
        machine.run(f"systemctl restart {UNIT} || true", seconds=90)
        # One that waits for its next try is `activating`.
        wait_until(lambda: machine.property_of("ActiveState") == "failed", 30)
        assert machine.property_of("ExecMainStatus") == "2"
        assert machine.property_of("NRestarts") == "0"
        assert "workers" in machine.run(f"journalctl --unit {UNIT} --lines 8 --output cat")
    with checks.check("systemd: with the setting mended it starts again"):
        machine.run(f"mv {SETTINGS}.kept {SETTINGS}; systemctl restart {UNIT}", seconds=90)
        machine.wait_ready()
        machine.run("forebay audit")
