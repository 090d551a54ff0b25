"""What decides the result of `make compose-test`, without an engine: a failed check is counted, a lost event is found."""

import resource
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.compose.checks import Checks, Failed, Stop, failing, run
from tests.compose.images import FILES, images_of
from tests.compose.load import shortfall
from tests.compose.service import commands_of
from tests.compose.stack import lowered_limits
from tests.support.posting import Posted


def test_a_miss_is_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    """One failed check fails the target; only a check that the others need ends it."""
    checks = Checks()
    with checks.check("good") as figures:
        figures.append("7 of 7")
    with checks.check("bad"):
        assert not checks.missed, "never"
        assert checks.missed, "why"
    with pytest.raises(Stop), checks.check("worse", is_needed=True):
        raise Failed("because")
    assert (checks.met, checks.missed) == (1, ["bad", "worse"])
    said = capsys.readouterr().out
    assert "ok      good (7 of 7" in said
    assert "MISSED  bad: AssertionError: why" in said


def test_a_program_that_fails_or_hangs_is_a_failure() -> None:
    """The failure has the program's output, and no program is waited for without an end."""
    assert run("sh", "-c", "echo out; echo more >&2", seconds=10) == "out\n"
    with pytest.raises(Failed, match=r"(?s)exit status 3.*why"):
        run("sh", "-c", "echo why >&2; exit 3", seconds=10)
    with pytest.raises(Failed, match="not within"):
        run("sleep", "60", seconds=0.1)
    with pytest.raises(Failed, match="there is no"):
        run("no-such-program", seconds=1)


def test_what_must_fail_and_goes_through_is_a_miss() -> None:
    """A command that should fail and succeeds is a failed check, and so is one that fails in another way."""
    with failing("exit status 3"):
        run("sh", "-c", "exit 3", seconds=10)
    with pytest.raises(AssertionError), failing("exit status 3"):
        run("true", seconds=10)
    with pytest.raises(Failed), failing("exit status 3"):
        run("false", seconds=10)


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        (["p-0", "p-1", "other-0"], ""),
        (["p-0", "p-1", "p-2"], ""),  # whose answer was lost: it may be stored or not
        (["p-0"], "lost 1 ['p-1']"),
        (["p-0", "p-1", "p-1"], "doubled 1"),
        (["p-0", "p-1", "p-9"], "never sent 1"),
    ],
)
def test_every_acknowledged_event_is_stored_once(stored: list[str], fault: str) -> None:
    """The difference names missing events, doubled ones, and those that nobody sent."""
    found = shortfall(Posted("", "p", acknowledged=["p-0", "p-1"], unclear=["p-2"]), stored)
    assert bool(found) == bool(fault)
    assert fault in found


def test_only_limits_above_the_machines_are_lowered() -> None:
    """A limit that the machine can give stays, and nothing but limits is overridden."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert most != resource.RLIM_INFINITY
    services = {
        "high": {"image": "x", "ulimits": {"nofile": {"soft": most + 1, "hard": most + 2}}},
        "low": {"image": "x", "ulimits": {"nofile": {"soft": most, "hard": most}}},
        "none": {"image": "x"},
    }
    assert lowered_limits(services) == {"high": {"ulimits": {"nofile": {"soft": most, "hard": most}}}}


def test_every_image_but_grafanas_has_a_stand_in(checkout: Path) -> None:
    """Each image has one file, and there is no file without an image."""
    services = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))["services"]
    pulled = {service["image"] for service in services.values() if "build" not in service}
    named = images_of(checkout)
    assert pulled - set(named.values()) == {services["grafana"]["image"]}
    assert {path.stem for path in FILES.glob("*.Dockerfile")} == set(named)


def test_the_pages_commands_are_found(checkout: Path) -> None:
    """The walk runs the block that an operator reads, from its first line to its last."""
    script, mentioned = commands_of((checkout / "deploy/README.md").read_text("utf-8"), "## systemd")
    assert "systemctl enable --now forebay" in script
    assert script.startswith("    python3 -m venv /opt/forebay")
    assert "forebay audit" in mentioned
    upgrade, _ = commands_of((checkout / "docs/upgrading.md").read_text("utf-8"), "## `forebay up` under systemd")
    assert "systemctl restart forebay" in upgrade


def test_the_stand_in_of_clickhouse_finds_what_the_wheel_installs(checkout: Path) -> None:
    """Each place in site-packages from which something is imported is on its path."""
    wheel = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    wanted = {"/opt/forebay", *(f"/opt/forebay/{Path(place).parent}" for place in wheel["sources"].values())}
    lines = (FILES / "clickhouse.Dockerfile").read_text("utf-8").splitlines()
    (said,) = [line.partition("=")[2] for line in lines if line.startswith("ENV PYTHONPATH=")]
    assert set(said.split(":")) == wanted
