"""schemas/redis: every script says its contract, and names what keys.py and the records name."""

import re
from pathlib import Path

import pytest

from schemas.deadletter import DeadLetter
from schemas.redis import scripts
from schemas.redis.keys import LEAVING_FIELD, LIMIT_FIELDS, REJECTED_LAST, TURN_FIELD, CheckpointField, ErasuresField

NAMES = scripts.names()
HEAD = ("Keeps", "Sent by", "KEYS", "ARGV", "Answers", "Told")
FIELDS = {
    *CheckpointField,
    *(f"{field}:" for field in CheckpointField),
    *ErasuresField,
    *(f":{field}" for field in ErasuresField),
    *DeadLetter._fields,
    *"dnpc",  # of an entry
    LEAVING_FIELD,
    REJECTED_LAST,
    TURN_FIELD,
    *LIMIT_FIELDS,
}
ANSWERS = {"ok", "done", "gap ", "lease", "moved", "replay", "taken", ""}
# What is said to Redis and to Lua, and is no name of ours: ids, edges, bounds, formats and patterns.
WORDS = {"0-0", "-", "^[^:]+:", "0-0 0 0", " 0 0", "edge", "dead", "last-generated-id", "string", "(", "-inf", "+inf", "+", "*", "0", ":", " ", "{", "}", "{0}", "server", "replication", "role:master", "READONLY it is a replica now"}  # fmt: skip


def head_of(checkout: Path, name: str) -> dict[str, str]:
    """The parts of a script's head by their titles."""
    text = (checkout / "schemas" / "redis" / f"{name}.lua").read_text("utf-8")
    lines = text.split("\n\n")[0].splitlines()
    parts: dict[str, str] = {}
    title = "does"
    for line in lines:
        if line.startswith("-- include"):
            continue
        found = re.match(r"-- ([A-Z][\w ]*?): +(.*)", line)
        title, said = (found[1], found[2]) if found else (title, line.removeprefix("--").strip())
        parts[title] = f"{parts.get(title, '')} {said}".strip()
    return parts


def code_of(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_head_says_the_whole_contract(checkout: Path, name: str) -> None:
    """What it does, which rule it keeps, who sends it, what it takes and answers, and what is told twice."""
    head = head_of(checkout, name)
    assert head["does"].startswith(f"{name}: ")
    assert tuple(head)[1:] == HEAD
    assert all(head.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_head_numbers_what_the_script_takes(checkout: Path, name: str) -> None:
    """Each of KEYS, and each of ARGV that the text uses by its number, is in the head; no others are."""
    head, code = head_of(checkout, name), code_of(scripts.script(name))
    for kind in ("KEYS", "ARGV"):
        said = {int(number) for number in re.findall(r"(?:^|· |from )(\d+) ", head[kind])}
        used = {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", code)}
        used |= {int(number) for number in re.findall(rf"for at = (\d+), #{kind}", code)}
        if name == "stored" and kind == "ARGV":
            used.add(6)  # reckoned from ARGV 4 and 5
        assert said == used == set(range(1, max(used, default=0) + 1)), kind


@pytest.mark.parametrize("name", NAMES)
def test_who_sends_a_script_names_it(checkout: Path, name: str) -> None:
    """The files that a head names load the script, and no other file of the product does."""
    said = set(re.findall(r"[\w/]+\.py", head_of(checkout, name)["Sent by"]))
    packages = ("dashboard", "ingest", "flusher", "forebay", "loadtest", "runtime")
    files = [file for package in packages for file in (checkout / package).rglob("*.py")]
    found = {file.relative_to(checkout).as_posix() for file in files if f'script("{name}")' in file.read_text("utf-8")}
    assert said == found


@pytest.mark.parametrize("name", NAMES)
def test_a_script_uses_known_names_only(name: str) -> None:
    """Every text in it is a command, an answer, or a field that Python names too."""
    texts = set(re.findall(r"'([^']*)'", code_of(scripts.script(name))))
    ours = {text for text in texts if not re.fullmatch(r"[A-Z]+", text) and "%" not in text}
    assert ours - WORDS - ANSWERS - FIELDS - set(scripts.CONSTANTS.values()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_known_by_its_text(name: str) -> None:
    """Whoever has the text has the name: the fakes, and a person who reads Redis's slow log."""
    assert scripts.name_of(scripts.script(name)) == name


def test_constants_come_from_python() -> None:
    """A number or word that Python knows too stands in one place, and is put in front of the script."""
    text = scripts.script("append")
    assert f"local TOTALS_MAX = {scripts.CONSTANTS['TOTALS_MAX']}\n" in text
    assert f"local OTHER = '{scripts.CONSTANTS['OTHER']}'\n" in text
    assert "local LEASE_TIMES_MAX" not in text


def test_every_shared_part_is_used(checkout: Path) -> None:
    """A part that nobody includes is dead."""
    folder = checkout / "schemas" / "redis"
    included = {
        part for name in NAMES for part in re.findall(r"-- include (\w+)", (folder / f"{name}.lua").read_text())
    }
    assert included == {file.stem for file in (folder / "shared").glob("*.lua")}
