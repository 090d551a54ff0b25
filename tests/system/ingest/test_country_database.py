"""`forebay ingest` with a country database that is replaced, cut short and removed under it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from redis import Redis

from schemas.entry import decode
from schemas.row import COLUMNS
from tests.support.ingesting import START_SECONDS, Ingest, ingesting, killed_worker_is_replaced
from tests.support.places import country, database, touch_later
from tests.support.redis_programs import running, socket_of
from tests.support.waiting import wait_until

LOG = "forebay:{0}:log"
FAILED = 'forebay_reload_failed_total{what="country_database"}'
GOOGLE = "8.8.8.8"
CITY = {"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BY"}], "city": {"names": {"en": "Munich"}}}


def entries(directory: Path) -> Any:
    """Returns a client that gives bytes as they are."""
    return Redis(unix_socket_path=str(socket_of(directory)))


def posted(ingest: Ingest, redis: Any, client: str = GOOGLE) -> tuple[str, str, str]:
    """Sends an event of a client, and returns country, region and city of its row."""
    assert ingest.post("here", client) == 202
    [(_, fields)] = redis.xrevrange(LOG, count=1)
    row = dict(zip(COLUMNS, (column[-1] for column in decode(fields[b"d"])), strict=True))
    return row["country"], row["region"], row["city"]


def failures(ingest: Ingest) -> int:
    [line] = [line for line in ingest.metrics().splitlines() if line.startswith(FAILED)]
    return int(float(line.split()[-1]))


def test_a_database_is_replaced_while_it_runs(tmp_path: Path) -> None:
    """A bad one never counts and ends nobody, however it became bad; a good one counts within seconds."""
    path = database(tmp_path / "places.mmdb", {"8.8.8.0/24": country("FR")})
    settings = {"country_database": str(path), "trusted_proxies": "127.0.0.1"}
    with running(tmp_path), entries(tmp_path) as redis, ingesting(tmp_path, **settings) as ingest:
        wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
        assert f"countries come from {path} (Test, built " in ingest.said
        assert 'forebay_country_source{source="database"} 1.0' in ingest.metrics()
        assert posted(ingest, redis) == ("FR", "", "")
        whole = path.read_bytes()
        os.truncate(path, len(whole) // 2)  # in place: under a reader that had mapped it, this is SIGBUS
        assert posted(ingest, redis) == ("FR", "", "")
        assert posted(ingest, redis, "9.9.9.9") == ("", "", "")
        wait_until(lambda: failures(ingest) == 1)
        path.write_bytes(os.urandom(len(whole)))
        wait_until(lambda: failures(ingest) == 2)
        path.unlink()
        wait_until(lambda: failures(ingest) == 3)
        assert posted(ingest, redis) == ("FR", "", "")
        killed_worker_is_replaced(ingest)
        assert posted(ingest, redis) == ("US", "", ""), "a new worker takes the next best source"
        database(path, {"8.8.8.0/24": CITY})
        wait_until(lambda: posted(ingest, redis) == ("DE", "DE-BY", "Munich"))
        path.write_bytes(whole)
        touch_later(path)
        wait_until(lambda: posted(ingest, redis) == ("FR", "", ""))
        assert failures(ingest) == 4
        assert ingest.said.count("stays in force") == 3
        assert "Traceback" not in ingest.said
        wait_until(lambda: 'forebay_country_unknown_total{source="database"} 1.0' in ingest.metrics())


def test_a_file_that_knows_no_country_is_refused_at_the_start(tmp_path: Path) -> None:
    """In one sentence that names the setting, the file, and what is the matter."""
    path = database(tmp_path / "asn.mmdb", {"8.8.8.0/24": {"autonomous_system_number": 15169}}, kind="GeoLite2-ASN")
    with ingesting(tmp_path, country_database=str(path)) as ingest:
        assert ingest.process.wait(START_SECONDS) == 2
        assert f"FOREBAY_COUNTRY_DATABASE: {path} (its type is 'GeoLite2-ASN') has no country for any of" in ingest.said
        assert "docs/configuration.md#country_database" in ingest.said


def test_without_settings_events_have_countries(tmp_path: Path) -> None:
    """Out of the box, from what is there: Debian's ranges or the library."""
    with (
        running(tmp_path),
        entries(tmp_path) as redis,
        ingesting(tmp_path, trusted_proxies="127.0.0.1", workers="2") as ingest,
    ):
        wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
        assert posted(ingest, redis) == ("US", "", "")
        assert posted(ingest, redis, "2001:67c:2e8:22::c100:68b") == ("NL", "", "")
        assert posted(ingest, redis, "10.1.2.3") == ("", "", "")
        shown = [line for line in ingest.metrics().splitlines() if line.startswith("forebay_country_source")]
        assert sorted(line.split()[-1] for line in shown) == ["0.0", "0.0", "0.0", "1.0"]
