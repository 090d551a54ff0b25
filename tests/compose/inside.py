"""Does the work of `make compose-test` inside the namespaces: the engine, the images, the checks, in this order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.compose import cluster, images, service, single
from tests.compose.checks import Checks, Stop
from tests.compose.engine import Engine
from tests.compose.namespaces import settle
from tests.compose.stack import Stack

CHECKOUT = Path(__file__).resolve().parents[2]


class Composition(NamedTuple):
    """Holds what is brought up together: its name, the files over docker-compose.yml, and the checks of it."""

    name: str
    overlays: tuple[str, ...]
    walk: Callable[[Checks, Stack], None]


COMPOSITIONS = (
    Composition("compose", (), single.walk),
    Composition("cluster", (cluster.OVERLAY,), cluster.walk),
)


def main() -> int:
    """Runs `python -m tests.compose.inside DIRECTORY GROUP WHAT...`; returns 0 if every check passed."""
    directory, group, *wanted = Path(sys.argv[1]), *sys.argv[2:]
    checks = Checks()
    settle(directory)
    with checks.check("an engine starts", is_needed=True) as figures:
        engine = Engine(directory, control_group=group)
        figures.append(engine.docker("version", "--format", "{{.Server.Version}}").strip())
    try:
        _all(checks, engine, directory, wanted)
    except Stop:
        checks.say("nothing of what follows could be checked")
    finally:
        with checks.check("every container is removed"):
            if left := engine.docker("ps", "--all", "--quiet").split():
                engine.docker("rm", "--force", "--volumes", *left)
            engine.docker("volume", "prune", "--force")
            engine.docker("network", "prune", "--force")
        engine.close()
    checks.say(f"{checks.met} checks met, {len(checks.missed)} missed")
    return 1 if checks.missed else 0


def _all(checks: Checks, engine: Engine, directory: Path, wanted: list[str]) -> None:
    named = images.images_of(CHECKOUT)
    if not engine.has_image(images.BASE):
        with checks.check("a Debian is made by debootstrap", is_needed=True):
            images.make_base(engine, directory)

    def stand_in(name: str) -> None:
        with checks.check(f"a stand-in is built: {named[name]} = {images.SAID[name]}", is_needed=True):
            images.make_stand_in(engine, name, named[name], directory, CHECKOUT)

    compositions = [one for one in COMPOSITIONS if one.name in wanted]
    if compositions:
        for name in ("python", "redis", "prometheus"):
            stand_in(name)
        with checks.check("the Dockerfile builds", is_needed=True) as figures:
            Stack(engine, CHECKOUT, directory, name="compose").compose("build", seconds=600)
            figures.append(f"{engine.inspect('forebay:local')['Size'] / 1e6:.0f} MB with the stand-in")
        stand_in("clickhouse")
    for one in compositions:
        _walk(checks, engine, directory, one)
    if "systemd" in wanted:
        stand_in("systemd")
        service.walk(checks, engine, CHECKOUT)


def _walk(checks: Checks, engine: Engine, directory: Path, composition: Composition) -> None:
    stack = Stack(engine, CHECKOUT, directory, name=composition.name, overlays=composition.overlays)
    if stack.lowered:
        checks.say(f"        lowered, because this machine may not give more: nofile of {', '.join(stack.lowered)}")
    try:
        composition.walk(checks, stack)
    except Stop:
        checks.say(f"nothing more of {composition.name} could be checked")
    finally:
        stack.compose("down", "--volumes", seconds=180)


if __name__ == "__main__":
    sys.exit(main())
