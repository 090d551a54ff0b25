"""Measures P1, P1c and P2: POSTs acknowledged after fsync by one ingest worker alone on a core, in turns with nginx there.

    first core    the ingest worker, or nginx's; never both at work
    second core   wrk, Redis, ClickHouse, the flusher, and we

Between two rounds everything accepted is stored, so that nginx's round shares the second core with wrk alone, as it
should, and Forebay's begins with an empty buffer.

P1c is P1's rounds by CPU time, as /proc counts it for ingest's worker and for nginx. The second core holds wrk beside
Redis, ClickHouse and the flusher, so P1's rate ends where that core is full; CPU time says what ingest itself takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadtest.bench import children, wrk
from loadtest.bench.ask import BenchError, ask
from loadtest.bench.figures import Figure, paired

if TYPE_CHECKING:
    from loadtest.bench.bodies import Fixed
    from loadtest.bench.nginx import Nginx
    from loadtest.bench.stand import Stand

WARMUP_SECONDS = 1


class Posts:
    """Measures one stand under wrk. `first` and `second` are cores."""

    def __init__(self, stand: Stand, *, first: int, second: int) -> None:
        self.stand = stand
        self.cpu_us: dict[str, float] = {}  # per request of the last round, by process
        self._second = second
        self._accepted = stand.accepted()
        children.pin(stand.facts.pids_of("ingest")[0], first)

    def round(self, body: Fixed, seconds: int) -> wrk.Run:
        """Does a round. Raises BenchError if Forebay did not accept what wrk counted, or did not store it afterwards."""
        usage = self.stand.usage()
        found = wrk.post(
            f"{self.stand.url}/f", seconds=seconds, core=self._second, script="fixed.lua", arguments=body.arguments
        )
        usage.look()
        self.cpu_us = {name: round(one.cpu_s / found.requests * 1e6, 1) for name, one in usage.usage.items()}
        total = self.stand.accepted()
        check_accepted(total - self._accepted, found.requests, body.events)
        self._accepted = total
        self.stand.drained(total)
        return found

    def probe(self, body: Fixed) -> None:
        """Raises BenchError unless every event of the body is accepted: a 2xx to an array may name rejected ones."""
        status, said = ask(f"{self.stand.url}/f", body.body.read_bytes(), body.fields)
        if status != 202 or b'"reason"' in said:
            raise BenchError(f"the body is not taken whole: {status} {said.decode('utf-8', 'replace')[:200]}")
        self._accepted = self.stand.accepted()


def check_accepted(accepted: int, requests: int, events: int) -> None:
    """Raises BenchError if other events were accepted than wrk counted, apart from those in flight when it stopped."""
    if not 0 <= accepted - requests * events <= wrk.CONNECTIONS * events:
        raise BenchError(f"{accepted:,} events were accepted, wrk counted {requests * events:,}")


def measure(
    name: str, posts: Posts, nginx: Nginx, body: Fixed, *, rounds: int, seconds: int, core: int
) -> list[Figure]:
    """Measures Forebay, nginx, Forebay, nginx ..., with the same script and connections. Returns P1 and P1c, or P2."""
    posts.probe(body)
    ours: list[wrk.Run] = []
    theirs: list[wrk.Run] = []
    cpu_us: list[dict[str, float]] = []

    def baseline(length: int) -> tuple[wrk.Run, float]:
        usage = nginx.usage()
        run = wrk.post(nginx.url, seconds=length, core=core, script="fixed.lua", arguments=body.arguments)
        usage.look()
        return run, usage.usage["nginx"].cpu_s / run.requests * 1e6

    posts.round(body, WARMUP_SECONDS)
    baseline(WARMUP_SECONDS)
    for _ in range(rounds):
        ours.append(posts.round(body, seconds))
        run, used = baseline(seconds)
        theirs.append(run)
        cpu_us.append(posts.cpu_us | {"nginx": round(used, 2)})
    figure = paired(name, [run.per_s * body.events for run in ours], [run.per_s for run in theirs])
    figure.detail = {
        "body_bytes": body.body.stat().st_size,
        "events_per_body": body.events,
        "rounds": [
            _round(one, other, body.events) | {"cpu_us_per_request": used}
            for one, other, used in zip(ours, theirs, cpu_us, strict=True)
        ],
    }
    return [figure, by_cpu(cpu_us)] if name == "P1" else [figure]


def by_cpu(cpu_us: list[dict[str, float]]) -> Figure:
    """Makes P1c of the CPU time of a request, in us, by process and round."""
    return paired("P1c", [used["ingest"] for used in cpu_us], [used["nginx"] for used in cpu_us], is_inverse=True)


def _round(ours: wrk.Run, theirs: wrk.Run, events: int) -> dict[str, Any]:
    return {
        "events_per_s": round(ours.per_s * events),
        "nginx_requests_per_s": round(theirs.per_s),
        "p50_ms": ours.p50_ms,
        "p99_ms": ours.p99_ms,
    }
