"""Settings come from the environment before TOML, and every fault is said at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from runtime.settings import SettingsError, load, read, unknown
from schemas.settings import DashboardSettings, FlusherSettings, IngestSettings, ToolSettings

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class TierSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One field of each kind that a tier has."""

    port: Port = 8000
    redis_url: str = "redis://127.0.0.1"
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    demo_page: bool = False
    sites: tuple[str, ...] = ()


def settings(environment: Mapping[str, str] | None = None, toml: Mapping[str, Any] | None = None) -> TierSettings:
    return read(TierSettings, environment=environment or {}, toml=toml or {}, table="tier")


def faults(environment: Mapping[str, str] | None = None, toml: Mapping[str, Any] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings(environment, toml)
    return str(caught.value).splitlines()


def test_nothing_said_means_the_defaults() -> None:
    """Every setting has a default."""
    assert settings() == TierSettings()


@pytest.mark.parametrize("kind", [IngestSettings, FlusherSettings])
def test_a_tier_starts_without_any_setting(kind: type[msgspec.Struct]) -> None:
    """The real tiers' defaults are valid, by their own limits."""
    made = read(kind, environment={}, toml={}, table="tier")
    assert msgspec.convert(msgspec.to_builtins(made), kind) == made


@pytest.mark.parametrize(
    ("environment", "toml", "port"),
    [
        ({}, {"port": 1}, 1),
        ({}, {"tier": {"port": 2}}, 2),
        ({}, {"port": 1, "tier": {"port": 2}}, 2),
        ({"FOREBAY_PORT": "3"}, {"port": 1, "tier": {"port": 2}}, 3),
        ({"FOREBAY_PORT": "3"}, {}, 3),
        ({"PORT": "3", "forebay_port": "4"}, {}, 8000),
        ({}, {"other": {"port": 5}}, 8000),
    ],
)
def test_the_environment_wins_over_the_table_and_the_table_over_the_top(
    environment: dict[str, str], toml: dict[str, Any], port: int
) -> None:
    """Of several places the nearest one is taken; another tier's table is not looked at."""
    assert settings(environment, toml).port == port


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [
        ("port", "0", 0),
        ("redis_url", "", ""),
        ("redis_url", "12", "12"),
        ("share", "1", 1.0),
        ("demo_page", "true", True),
        ("demo_page", "0", False),
        ("sites", "a.example, b.example ,", ("a.example", "b.example")),
        ("sites", "", ()),
    ],
)
def test_text_becomes_the_type_of_its_field(name: str, said: str, value: object) -> None:
    """The environment has only text: numbers, switches and comma lists are read from it."""
    assert getattr(settings({f"FOREBAY_{name.upper()}": said}), name) == value


def test_toml_keeps_its_types() -> None:
    """Lists, numbers and switches of the file are taken as they are."""
    made = settings(toml={"tier": {"sites": ["a.example"], "share": 1, "demo_page": True, "port": 9}})
    assert made == TierSettings(sites=("a.example",), share=1.0, demo_page=True, port=9)


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    """A name with _FILE gives a path; the line end that every editor adds is not part of the secret."""
    (tmp_path / "url").write_text("redis://:secret@redis\n", "utf-8")
    assert settings({"FOREBAY_REDIS_URL_FILE": str(tmp_path / "url")}).redis_url == "redis://:secret@redis"


def test_a_value_wins_over_a_file_and_a_file_over_toml(tmp_path: Path) -> None:
    """The three places of one setting have one order."""
    (tmp_path / "url").write_text("of the file", "utf-8")
    environment = {"FOREBAY_REDIS_URL_FILE": str(tmp_path / "url")}
    assert settings(environment, {"redis_url": "of toml"}).redis_url == "of the file"
    environment["FOREBAY_REDIS_URL"] = "said"
    assert settings(environment, {"redis_url": "of toml"}).redis_url == "said"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_unreadable_secret_is_a_fault(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing or no text is reported as the others are."""
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    said = faults({"FOREBAY_REDIS_URL_FILE": str(tmp_path / "url"), "FOREBAY_PORT": "x"})
    assert [line.partition(":")[0] for line in said] == ["FOREBAY_PORT", "FOREBAY_REDIS_URL"]


def test_all_faults_are_said_at_once_with_their_documentation() -> None:
    """One line a fault, in the order of the fields, each with the anchor that explains it."""
    said = faults(
        {"FOREBAY_PORT": "70000", "FOREBAY_SHARE": "2", "FOREBAY_DEMO_PAGE": "perhaps"},
        {"sites": 3, "tier": {"prot": 1, "colour": "red"}},
    )
    assert [line.partition(":")[0] for line in said] == [
        "FOREBAY_PORT",
        "FOREBAY_SHARE",
        "FOREBAY_DEMO_PAGE",
        "FOREBAY_SITES",
        "[tier] prot",
        "[tier] colour",
    ]
    for line, name in zip(said, ("port", "share", "demo_page", "sites"), strict=False):
        assert line.endswith(f"(see docs/configuration.md#{name})")
    assert all("docs/configuration.md" in line for line in said)


def test_a_fault_does_not_show_the_value(tmp_path: Path) -> None:
    """Start-up errors end in logs, and a mistyped setting may be a secret."""
    (tmp_path / "port").write_text("hunter2", "utf-8")
    assert "hunter2" not in "".join(faults({"FOREBAY_PORT_FILE": str(tmp_path / "port")}))
    assert "hunter2" not in "".join(faults({"FOREBAY_PORT": "hunter2"}))


def test_an_unknown_key_of_the_tier_is_a_fault_and_of_the_top_is_not() -> None:
    """The top level is shared by all tiers: what one does not know another may."""
    assert settings(toml={"clickhouse_url": "x", "flusher": {"block_rows_max": 1}}) == TierSettings()
    assert faults(toml={"tier": {"clickhouse_url": "x"}}) == [
        "[tier] clickhouse_url: no such setting (see docs/configuration.md)"
    ]


@pytest.mark.parametrize("table", [3, "port", ["port"], True])
def test_a_table_that_is_none_is_a_fault(table: object) -> None:
    """`tier = 3` is reported, beside the other faults, and is not a traceback."""
    said = faults({"FOREBAY_PORT": "x"}, {"tier": table})
    assert len(said) == 2
    assert "[tier]" in said[1]


def test_a_missing_setting_is_a_fault() -> None:
    """A field without default that nobody gave is named."""

    class Strict(msgspec.Struct, kw_only=True):
        database: str

    with pytest.raises(SettingsError, match=r"database.*docs/configuration\.md"):
        read(Strict, environment={}, toml={}, table="tier")


def test_the_file_of_settings_is_read(tmp_path: Path) -> None:
    """The file that FOREBAY_CONFIG names is read; the environment wins over it, and the command line over both."""
    file = tmp_path / "forebay.toml"
    file.write_text('data = "top"\nredis_url = "redis://top"\n[tools]\ndata = "of the tools"\n', "utf-8")
    environment = {"FOREBAY_CONFIG": str(file)}
    assert load(ToolSettings, environment) == ToolSettings(data="of the tools", redis_url="redis://top")
    environment["FOREBAY_DATA"] = "of the environment"
    assert load(ToolSettings, environment).data == "of the environment"
    assert load(ToolSettings, environment, {"data": "given", "other": 1}).data == "given"
    assert load(ToolSettings, environment, {"data": None}).data == "of the environment"


@pytest.mark.parametrize("content", [None, b"port = ", b"\xff\xfe"])
def test_an_unreadable_file_of_settings_is_a_fault(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, is no TOML or is no text ends the start with one line, not with a traceback."""
    file = tmp_path / "forebay.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^FOREBAY_CONFIG: .*docs/configuration\.md"):
        load(IngestSettings, {"FOREBAY_CONFIG": str(file)})


def test_what_the_command_line_gives_keeps_a_secret_unread() -> None:
    """A secret's file is not read where the command line gives the value, so it may be missing."""
    environment = {"FOREBAY_REDIS_URL_FILE": "/nowhere"}
    assert load(ToolSettings, environment, {"redis_url": "redis://given"}).redis_url == "redis://given"


def test_a_misspelt_variable_is_said_with_the_nearest_name() -> None:
    """Any process's settings are known to all; what is not ours is nobody's business."""
    environment = {
        "FOREBAY_SHARD": "8",
        "FOREBAY_REDIS_URLS_FILE": "/run/redis",
        "FOREBAY_XYZZY": "",
        **dict.fromkeys(("FOREBAY_SHARDS", "FOREBAY_REDIS_URL_FILE", "FOREBAY_READY_FILE", "FOREBAY_CONFIG"), ""),
        **dict.fromkeys(("PATH", "SHARD", "forebay_shard"), ""),
    }
    assert unknown(environment) == [
        "FOREBAY_REDIS_URLS_FILE: no such setting; FOREBAY_REDIS_URL? (see docs/configuration.md)",
        "FOREBAY_SHARD: no such setting; FOREBAY_SHARDS? (see docs/configuration.md)",
        "FOREBAY_XYZZY: no such setting (see docs/configuration.md)",
    ]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"REDIS_URL": "redis+clusters://a"}, "FOREBAY_REDIS_URL: redis+clusters"),
        ({"REDIS_URL": "redis+sentinel://a:1"}, "the name of the master"),
        ({"REDIS_URL": "redis://a", "REDIS_CA": "/ca"}, "redis_url has to begin with rediss"),
        ({"REDIS_URL": "rediss://a", "REDIS_CA": "/no/such/file"}, "/no/such/file: No such file"),
        ({"REDIS_URL": "rediss://a", "REDIS_CA": __file__}, "test_settings.py: "),
        ({"REDIS_URL": "rediss+cluster://a", "REDIS_CERT": __file__}, "test_settings.py and no key: "),
    ],
)
@pytest.mark.parametrize("kind", [IngestSettings, FlusherSettings, DashboardSettings, ToolSettings])
def test_a_redis_that_no_client_could_use_is_a_fault(
    kind: type[msgspec.Struct], said: dict[str, str], fault: str
) -> None:
    """A URL that means nothing, and files of TLS that can't be read, end the start; a client would try for ever."""
    with pytest.raises(SettingsError, match=re.escape(fault)):
        load(kind, {f"FOREBAY_{name}": value for name, value in said.items()})
