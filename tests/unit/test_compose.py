"""docker-compose.yml and Dockerfile agree with the code: settings, ports, routes, limits, files.

No container runs here. What can be run is: the processes' own reading of the settings, the health
checks' own commands against the processes, and docker-compose's own reading of the file.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from dashboard.__main__ import faults
from dashboard.access.guard import Door
from runtime import settings
from runtime.hosts import Hosts
from schemas.settings import DashboardSettings, FlusherSettings, IngestSettings, ToolSettings

# What reads a service's environment, the process itself first.
READERS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "ingest": (IngestSettings, ToolSettings),
    "flusher": (FlusherSettings,),
    "dashboard": (DashboardSettings, ToolSettings),
    "migrate": (ToolSettings,),
}

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<sign>[-?])(?P<rest>[^}]*))?\}")

EDGE = "edge"


@pytest.fixture(scope="module")
def compose(checkout: Path) -> Any:
    """The file, its aliases and merges resolved."""
    return yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def dockerfile(checkout: Path) -> str:
    """The file, its continued lines joined."""
    return (checkout / "Dockerfile").read_text("utf-8").replace("\\\n", "")


def filled(value: str) -> str:
    """A value as compose fills it in when nothing but the secrets is set."""
    return VARIABLE.sub(lambda found: "secret" if found["sign"] == "?" else found["rest"] or "", value)


def environment_of(compose: Any, service: str) -> dict[str, str]:
    return {name: filled(value) for name, value in compose["services"][service]["environment"].items()}


def loaded(compose: Any, service: str) -> Any:
    """The process's settings, read by its own code from what compose sets."""
    return settings.read(READERS[service][0], environment=environment_of(compose, service), toml={}, table="")


@pytest.mark.parametrize("service", READERS)
def test_every_variable_is_a_setting(compose: Any, service: str) -> None:
    """A name that no process reads would be silently ignored."""
    known = {f"FOREBAY_{field.name.upper()}" for kind in READERS[service] for field in msgspec.structs.fields(kind)}
    assert set(environment_of(compose, service)) <= known


@pytest.mark.parametrize("service", READERS)
def test_settings_are_accepted(compose: Any, service: str) -> None:
    """The process would start with these values."""
    assert loaded(compose, service)


def test_both_tiers_agree_on_the_shards(compose: Any) -> None:
    """The first of them to start fixes the number."""
    assert loaded(compose, "ingest").shards == loaded(compose, "flusher").shards


def test_internal_ports_listen_and_are_not_published(compose: Any) -> None:
    """Prometheus reaches them from its network; nobody does from the machine."""
    ingest, flusher = loaded(compose, "ingest"), loaded(compose, "flusher")
    assert ingest.internal_host == flusher.flusher_internal_host == "0.0.0.0"
    published = {
        name: [filled(port) for port in service["ports"]]
        for name, service in compose["services"].items()
        if "ports" in service
    }
    assert published == {
        "ingest": [f"127.0.0.1:{ingest.port}:{ingest.port}"],
        "dashboard": ["127.0.0.1:8003:8003"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_the_dashboard_is_for_people_who_log_in(compose: Any) -> None:
    """It listens where its port is published from, under an address that is set, so nobody is let in without a login."""
    dashboard = loaded(compose, "dashboard")
    assert (dashboard.dashboard_host, dashboard.dashboard_port) == ("0.0.0.0", 8003)
    assert Door(dashboard.dashboard_url).is_public
    assert faults(dashboard) == []


def test_the_dashboard_asks_the_others_by_names_that_they_answer_to(compose: Any) -> None:
    """For its page of health, on the internal port of each."""
    dashboard, ingest, flusher = (loaded(compose, name) for name in ("dashboard", "ingest", "flusher"))
    assert dashboard.ingest_internal_url == f"http://ingest:{ingest.internal_port}"
    assert dashboard.flusher_internal_url == f"http://flusher:{flusher.flusher_internal_port}"
    assert ingest.internal_hosts == ("ingest",)
    assert flusher.internal_hosts == ("flusher",)


def test_only_what_is_published_reaches_the_outside(compose: Any) -> None:
    """Every other network is internal, and every service is on the networks it uses."""
    assert {name for name, network in compose["networks"].items() if not network.get("internal")} == {EDGE}
    on = {name: set(service["networks"]) for name, service in compose["services"].items()}
    assert {name for name, networks in on.items() if EDGE in networks} == {"ingest", "dashboard", "grafana"}
    for one, other in (
        ("ingest", "redis"),
        ("flusher", "redis"),
        ("flusher", "clickhouse"),
        ("migrate", "clickhouse"),
        ("prometheus", "ingest"),
        ("prometheus", "flusher"),
        ("dashboard", "redis"),
        ("dashboard", "clickhouse"),
        ("dashboard", "ingest"),
        ("dashboard", "flusher"),
        ("grafana", "prometheus"),
        ("grafana", "clickhouse"),
    ):
        assert on[one] & on[other], f"{one} cannot reach {other}"


def test_urls_name_services(compose: Any) -> None:
    """A container finds another by its service's name and its server's own port."""
    for service in READERS:
        for name, value in environment_of(compose, service).items():
            if name.endswith(("REDIS_URL", "CLICKHOUSE_URL")):
                host, port = re.match(r"\w+://(\w+):(\d+)", value).groups()  # type: ignore[union-attr]  # no match fails the test
                assert (host, port) in {("redis", "6379"), ("clickhouse", "8123")}


def test_clickhouse_users_exist(compose: Any, checkout: Path) -> None:
    """The users that processes log in as are those of users.xml, with the same passwords."""
    users = (checkout / "deploy" / "clickhouse" / "users.xml").read_text("utf-8")
    given = compose["services"]["clickhouse"]["environment"]
    for service in ("flusher", "migrate", "dashboard"):
        environment = compose["services"][service]["environment"]
        user, password = environment["FOREBAY_CLICKHOUSE_USER"], environment["FOREBAY_CLICKHOUSE_PASSWORD"]
        variable = re.search(rf'<{user}>\s*<password from_env="(\w+)"', users)
        assert variable is not None
        assert given[variable[1]] == password


def test_grafana_logs_in_as_the_user_that_only_reads(compose: Any, checkout: Path) -> None:
    """With the password that ClickHouse was given for that user, to the server's name and port."""
    file = checkout / "deploy/grafana/provisioning/datasources/clickhouse.yml"
    (source,) = yaml.safe_load(file.read_text("utf-8"))["datasources"]
    assert {key: source["jsonData"][key] for key in ("host", "port", "username")} == {
        "host": "clickhouse",
        "port": 8123,
        "username": "forebay_dashboard",
    }
    variable = source["secureJsonData"]["password"].removeprefix("$")
    services = compose["services"]
    assert services["grafana"]["environment"][variable] == services["clickhouse"]["environment"][variable]


def test_stopping_takes_longer_than_draining(compose: Any) -> None:
    """SIGKILL comes after what drain_seconds allows, with two seconds to spare."""
    for service in ("ingest", "flusher"):
        grace = int(compose["services"][service]["stop_grace_period"].removesuffix("s"))
        assert grace >= loaded(compose, service).drain_seconds + 2 + 2


def test_the_replay_tail_leaves_room_in_redis(compose: Any, checkout: Path) -> None:
    """Stored entries alone never fill half of Redis: appends stop at 85 %."""
    flusher = loaded(compose, "flusher")
    text = (checkout / "deploy" / "redis.conf").read_text("utf-8")
    gigabytes = re.search(r"^maxmemory (\d+)gb$", text, re.MULTILINE)
    assert gigabytes is not None
    assert flusher.shards * flusher.replay_tail_bytes_max <= (int(gigabytes[1]) << 30) // 2


def test_images_are_pinned(compose: Any) -> None:
    """A version to the last digit; a flusher must not meet another ClickHouse by a restart."""
    for name, service in compose["services"].items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name


def test_what_is_waited_for_can_be_met(compose: Any) -> None:
    """A condition of health needs a health check; one of success, a process that ends."""
    services = compose["services"]
    for service in services.values():
        for name, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert services[name]["restart"] == "no"


def test_mounted_files_and_volumes_exist(compose: Any, checkout: Path) -> None:
    """A missing file would become an empty directory in the container."""
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (checkout / source).exists() if source.startswith("./") else source in compose["volumes"]


def test_only_what_every_compose_reads(compose: Any) -> None:
    """1.29 refuses `name` and `develop`; new ones warn about `version`."""
    assert {key for key in compose if not key.startswith("x-")} == {"services", "networks", "volumes"}
    assert not any("develop" in service for service in compose["services"].values())


def test_every_variable_is_in_the_readme(compose: Any, checkout: Path) -> None:
    """What .env may hold is written down."""
    text = (checkout / "docker-compose.yml").read_text("utf-8")
    readme = (checkout / "deploy" / "README.md").read_text("utf-8")
    assert {found["name"] for found in VARIABLE.finditer(text)} <= set(re.findall(r"[A-Z_]{5,}", readme))


def test_the_image_runs_as_nobody_in_particular(dockerfile: str, compose: Any) -> None:
    """A number that is not 0, known before the image is opened; the spool's directory is that user's."""
    user = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)[-1]
    assert user != "0"
    made = re.search(rf"install --directory --owner {user} --group \d+ --mode 0750 (.+)", dockerfile)
    assert made is not None
    assert loaded(compose, "ingest").spool_dir in made[1].split()


def test_the_image_has_one_entry_point(dockerfile: str, compose: Any) -> None:
    """Every process is a word after `forebay`."""
    assert 'ENTRYPOINT ["forebay"]' in dockerfile
    for service in READERS:
        assert compose["services"][service]["command"] == [service]


def test_the_image_installs_production_pins_only(dockerfile: str) -> None:
    """Hashes are required, the project comes without dependencies, the engine stays out."""
    installs = [line for line in dockerfile.splitlines() if re.search(r"\bpip\b.* install ", line)]
    assert "--require-hashes --only-binary :all: --requirement requirements/production.txt" in installs[0]
    assert all("--no-deps --no-index" in line for line in installs[1:])
    assert "embedded.txt" not in dockerfile


def test_the_build_sees_what_the_wheel_needs_and_no_more(checkout: Path) -> None:
    """Everything is ignored but what pyproject.toml packs and what packing reads."""
    lines = (checkout / ".dockerignore").read_text("utf-8").splitlines()
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))
    packed = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    read = {"LICENSE", "README.md", "pyproject.toml", "requirements/production.txt"}
    assert "*" in lines
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == packed | read


@pytest.mark.parametrize(
    ("service", "address", "port"),
    [("ingest", "FOREBAY_INTERNAL_HOST", 8001), ("flusher", "FOREBAY_FLUSHER_INTERNAL_HOST", 8002)],
)
def test_prometheus_and_probes_reach_the_internal_ports(
    compose: Any, checkout: Path, service: str, address: str, port: int
) -> None:
    """Prometheus finds addresses by DNS and asks by them, probes ask by loopback, people by the service's name."""
    environment = compose["services"][service]["environment"]
    hosts = Hosts(environment[address], environment["FOREBAY_INTERNAL_HOSTS"].split(","))
    scraped = yaml.safe_load((checkout / "deploy/prometheus/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    [found] = [one["dns_sd_configs"][0] for one in scraped if one["job_name"] == f"forebay-{service}"]
    assert (found["names"], found["type"], found["port"]) == ([service], "A", port)
    for host in (f"172.18.0.5:{port}", f"127.0.0.1:{port}", f"{service}:{port}"):
        assert hosts.refusal([host]) is None
    assert hosts.refusal(["evil.example"])
