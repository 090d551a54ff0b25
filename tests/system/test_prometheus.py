"""A real Prometheus scrapes all that `forebay up` starts, evaluates the rules, and answers the queries of the dashboard for Grafana."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
import yaml

from runtime.redis import client
from schemas.redis.keys import SITES_KEY
from schemas.site import RegisteredSite
from tests.support.prometheus import Prometheus, running
from tests.support.system import BROWSER, ROOT, System
from tests.support.system import running as system_running
from tests.support.waiting import until

SITE, PURCHASE = "shop.example", {"name": "purchase", "revenue": {"amount": "49.90", "currency": "EUR"}}
SECONDS = 180.0
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Watched(NamedTuple):
    """Is a `forebay up`, and the Prometheus that scrapes it."""

    system: System
    prometheus: Prometheus


def configured(facts: dict[str, Any], directory: Path) -> Path:
    """Writes deploy/prometheus/prometheus.yml with the addresses of this system in place of names, and with the rules that it names."""
    folder = ROOT / "deploy/prometheus"
    said = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))
    said["global"] |= {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
    said["rule_files"] = [str(folder / name) for name in said["rule_files"]]
    at = {
        "forebay-ingest": "internal_url",
        "forebay-flusher": "flusher_internal_url",
        "forebay-dashboard": "dashboard_url",
        "forebay-sites": "dashboard_url",
    }
    said["scrape_configs"].append({"job_name": "forebay-sites", "metrics_path": "/metrics/sites"})
    for job in said["scrape_configs"]:
        for name in ("dns_sd_configs", "file_sd_configs", "authorization"):
            job.pop(name, None)
        job["static_configs"] = [{"targets": [facts[at[job["job_name"]]].removeprefix("http://")]}]
    for job in said["scrape_configs"]:
        job["scrape_timeout"] = job["scrape_interval"] = "10s" if job["job_name"] == "forebay-sites" else "2s"
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(said))
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """Runs both, with a registered site that somebody bought something on."""
    directory = tmp_path_factory.mktemp("watched")
    async with system_running(directory, "--site", SITE, FOREBAY_SITE_METRICS_MAX="3") as system:
        facts = system.facts()
        redis = client(facts["redis_url"], seconds=60.0)
        await redis.hset(SITES_KEY, SITE, RegisteredSite().encode())
        await redis.aclose()
        events = [{"url": f"https://{SITE}{page}"} for page in ("/", "/pricing")]
        body = json.dumps([*events, {"url": f"https://{SITE}/thanks", **PURCHASE}]).encode()
        request = urllib.request.Request(f"{facts['url']}/f", body, BROWSER)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 202
        await system.stored("1", 3)
        with running(configured(facts, directory), directory / "series") as prometheus:
            await until(lambda: len(prometheus.query("up == 1")) == 4, SECONDS)
            yield Watched(system, prometheus)


async def test_every_rule_is_evaluated(watched: Watched) -> None:
    """Without an error, on real series; no alarm rings for a system that is well."""
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))["groups"]
    named = {rule["alert"] for group in groups for rule in group["rules"]}

    def found() -> dict[str, str]:
        groups = watched.prometheus.get("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    await until(lambda: set(found().values()) == {"ok"}, SECONDS, more=lambda: f": {found()}")
    assert set(found()) == named
    assert not watched.prometheus.query('ALERTS{alertstate="firing"}')


async def test_every_query_of_the_dashboards_is_answered(watched: Watched) -> None:
    """Of panels on Prometheus, with the intervals that Grafana fills in; most have series once there were two scrapes."""
    boards = [json.loads(file.read_text("utf-8")) for file in (ROOT / "deploy/grafana/dashboards").glob("*.json")]
    expressions = [
        target["expr"].replace("$__rate_interval", "1m").replace("$__interval", "15s")
        for board in boards
        for panel in board["panels"]
        for target in panel["targets"]
        if target["datasource"]["type"] == "prometheus"
    ]
    assert len(expressions) >= 27
    assert not [one for one in expressions if "$" in one]

    def answered() -> int:
        return sum(bool(watched.prometheus.query(one)) for one in expressions)

    await until(lambda: answered() > len(expressions) / 2, SECONDS)


async def test_numbers_of_a_site_are_those_of_the_page(watched: Watched) -> None:
    """What Prometheus has of a registered site, and what the page says of its day; money too."""
    await until(lambda: watched.prometheus.query(f'forebay_site_visitors_today{{site="{SITE}"}} == 1'), SECONDS)
    gauges = {
        name: watched.prometheus.query(f'forebay_site_{name}{{site="{SITE}"}}')
        for name in ("visitors_today", "pageviews_today", "live_visitors", "revenue_today", "bot_share_today")
    }
    question = json.dumps({"site": SITE, "panel": "totals", "period": "day"}).encode()
    url = f"{watched.system.facts()['dashboard_url']}/api/panel"
    request = urllib.request.Request(url, question, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.loads(answer.read())
    shown = dict(zip(said["columns"], said["rows"][0], strict=True))
    assert [gauges[f"{name}_today"][0][1] for name in ("visitors", "pageviews")] == [
        shown["visitors"],
        shown["pageviews"],
    ]
    assert gauges["bot_share_today"][0][1] == 0
    [(labels, amount)] = gauges["revenue_today"]
    assert (labels["currency"], amount) == ("EUR", 49.9)


async def test_an_alarm_is_seen_by_prometheus(watched: Watched) -> None:
    """The last test: when the system ends, the rule for that is true, and waits for its minute."""
    await watched.system.stop()
    pending = 'ALERTS{alertname="ForebayDown", job="forebay-flusher"}'
    await until(lambda: watched.prometheus.query(pending), SECONDS)
