"""Reads lists of agents that the detector was not built from, out of the packages that `make bots` fetched.

    crawlerdetect      crawlers of Crawler-Detect, and devices of people, a line each
    device_detector    Matomo's fixtures: bots.yml, and people in all the others
    user-agents        browsers seen on the web, in JSON
    fake_useragent     browsers seen on the web, by somebody else: nobody looked at them while the detector was written

Whatever Matomo does not have among its bots counts as a person here: feed readers, players of podcasts and HTTP libraries too.
A package that is not there (npm is missing) is left out, and the table says so.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import yaml

CRAWLERDETECT, MATOMO, USER_AGENTS, FAKE = "crawlerdetect", "device_detector", "user-agents", "fake_useragent"


class Agents(NamedTuple):
    """Holds the distinct agents of a list, with the package and the version that it is of."""

    package: str
    version: str
    agents: tuple[str, ...]


def crawler_detect(folder: Path) -> tuple[Agents, Agents]:
    """Returns crawlers and devices of Crawler-Detect."""
    version, files = _sources(folder, CRAWLERDETECT, "/fixtures/user_agent/")
    lines = {name: _distinct(content.decode().splitlines()) for name, content in files}
    return Agents(CRAWLERDETECT, version, lines["crawlers.txt"]), Agents(CRAWLERDETECT, version, lines["devices.txt"])


def matomo(folder: Path) -> tuple[Agents, Agents]:
    """Returns bots and people of Matomo. An agent that is in bots.yml is a bot, wherever else it stands."""
    version, files = _sources(folder, MATOMO, "/fixtures/upstream/")
    bots: list[str] = []
    people: list[str] = []
    for name, content in files:
        # Its C parser: 12 s for 16 MB instead of two minutes.
        found = [one["user_agent"] for one in yaml.load(content, Loader=yaml.CSafeLoader)]
        (bots if name == "bots.yml" else people).extend(found)
    known = set(_distinct(bots))
    return (
        Agents(MATOMO, version, tuple(sorted(known))),
        Agents(MATOMO, version, tuple(agent for agent in _distinct(people) if agent not in known)),
    )


def user_agents(folder: Path) -> Agents | None:
    """Returns the browsers of npm's user-agents, or None where npm could not install it."""
    package = folder / "node_modules" / USER_AGENTS
    if not package.is_dir():
        return None
    version = orjson.loads((package / "package.json").read_bytes())["version"]
    found = orjson.loads((package / "dist" / "user-agents.json").read_bytes())
    return Agents(USER_AGENTS, version, _distinct(one["userAgent"] for one in found))


def fake_useragent(folder: Path) -> Agents:
    """Returns the browsers of fake-useragent, out of its wheel: a JSON object a line."""
    (path,) = folder.glob(f"{FAKE}-*.whl")
    lines = zipfile.ZipFile(path).read(f"{FAKE}/data/browsers.jsonl").splitlines()
    return Agents(FAKE, path.name.split("-")[1], _distinct(orjson.loads(line)["useragent"] for line in lines))


def _sources(folder: Path, package: str, within: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Returns a source distribution's version, and name and content of each file below a folder."""
    (path,) = folder.glob(f"{package}-*.tar.gz")
    files = []
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if within in member.name else None
            if content and member.name.endswith((".txt", ".yml")):
                files.append((member.name.rpartition("/")[2], content.read()))
    return path.name.removeprefix(f"{package}-").removesuffix(".tar.gz"), files


def _distinct(agents: Iterator[str] | list[str]) -> tuple[str, ...]:
    return tuple(sorted({stripped for agent in agents if (stripped := agent.strip())}))
