"""`make bench-compare BASE=<rev>`: measures this checkout beside another revision, in turns, in one run.

Both run as stands at once and take turns under the same load: A, B, A, B ... A noisy neighbour then disturbs both, and
the ratio of a pair says more than two figures of two days. CPU time per event is compared too, because neighbours
hardly change it. There is a verdict only if every pair points the same way; else the noise is larger than the change.

The base is a git worktree in a temporary folder, removed at the end, with an environment of its own if its pins differ
from ours.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loadtest.bench import bodies, children, drain, stand
from loadtest.bench.ask import BenchError
from loadtest.bench.config import environment
from loadtest.bench.figures import is_decided, ratios, text
from loadtest.bench.machine import git, revision
from loadtest.bench.posts import Posts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadtest.bench.stand import Stand

WHAT = ("P1", "P2", "P3")
PINS = "requirements/embedded.txt"
FILL_SECONDS = 4
INSTALL_SECONDS = 300


class Round(NamedTuple):
    """Holds one side's round: events per second, and CPU microseconds per event of the measured process."""

    per_s: float
    cpu_us: float


class Arguments(argparse.Namespace):
    """Holds the command line, typed."""

    base: str
    what: list[str]
    rounds: int
    seconds: int


def main() -> int:
    arguments = _parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="forebay-compare-", ignore_cleanup_errors=True) as directory,
            worktree(Path(directory), arguments.base) as base,
            children.on(*children.cores()),
        ):
            python = interpreter(Path(directory), base)
            print(f"here: {revision(children.ROOT)}   base: {revision(base)} ({arguments.base})")
            for name in arguments.what:
                _compare(name, arguments, Path(directory), (python, base))
    except (BenchError, OSError, ValueError) as error:
        print(f"bench-compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench-compare: stopped; nothing is left behind", file=sys.stderr)
        return 130
    return 0


def _parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser(prog="loadtest.bench.compare", description="Two revisions in turns.")
    parser.add_argument("--base", required=True, help="the revision to compare with")
    parser.add_argument("--what", type=_names, default=list(WHAT), metavar="P1,P3", help="(default: all three)")
    parser.add_argument("--rounds", type=int, default=6, help="pairs (default: 6)")
    parser.add_argument("--seconds", type=int, default=2, help="of a round of P1 and P2 (default: 2)")
    return parser.parse_args(argv, namespace=Arguments())


def _names(said: str) -> list[str]:
    wanted = said.replace(",", " ").split()
    if not wanted or set(wanted) - set(WHAT):
        raise argparse.ArgumentTypeError(f"there are {' '.join(WHAT)}")
    return wanted


@contextlib.contextmanager
def worktree(directory: Path, base: str) -> Iterator[Path]:
    """Makes a checkout of that revision, for as long as it is needed. Raises BenchError if there is none."""
    commit = git(children.ROOT, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
    path = directory / "base"
    if not commit:
        raise BenchError(f"{base} is not a revision of this repository")
    git(children.ROOT, "worktree", "add", "--detach", str(path), commit)
    if not (path / "forebay").is_dir():
        raise BenchError(f"no worktree of {base} can be made at {path}")
    try:
        yield path
    finally:
        git(children.ROOT, "worktree", "remove", "--force", str(path))


def interpreter(directory: Path, base: Path) -> str:
    """Returns our interpreter, or that of a new environment with the base's own pins. Raises BenchError."""
    theirs = (base / PINS).read_text("utf-8")
    if theirs == (children.ROOT / PINS).read_text("utf-8"):
        return sys.executable
    print("the base has other pins: installing them, a minute", file=sys.stderr)
    venv = directory / "venv"
    python = str(venv / "bin" / "python")
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    for words in (
        [sys.executable, "-m", "venv", str(venv)],
        [python, *install, "--only-binary", ":all:", "--requirement", str(base / PINS)],
    ):
        said = subprocess.run(
            words, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False, env=environment()
        )
        if said.returncode:
            raise BenchError(f"{' '.join(words[:4])} ...: {said.stderr.strip()[-300:]}")
    return python


def _compare(name: str, arguments: Arguments, directory: Path, base: tuple[str, Path]) -> None:
    settings = drain.SETTINGS if name == "P3" else {}
    with ExitStack() as held:
        first, second = children.cores()
        if name != "P3":
            held.enter_context(children.on(second))
        sides = [
            held.enter_context(stand.running(directory, python, checkout, **settings))
            for python, checkout in ((sys.executable, children.ROOT), base)
        ]
        if name == "P3":
            measures = [_drains(side, directory, second) for side in sides]
        else:
            body = bodies.fixed(directory, 50 if name == "P2" else 1)
            each = [Posts(side, first=first, second=second) for side in sides]
            for posts in each:
                posts.probe(body)
                posts.round(body, 1)  # warms caches
            measures = [_posts(posts, body, arguments.seconds) for posts in each]
        here, there = [], []
        for _ in range(arguments.rounds):
            here.append(measures[0]())
            there.append(measures[1]())
    print(report(name, here, there), flush=True)


def _posts(posts: Posts, body: bodies.Fixed, seconds: int) -> Callable[[], Round]:
    def measure() -> Round:
        usage = posts.stand.usage()
        run = posts.round(body, seconds)
        usage.look()
        events = run.requests * body.events
        return Round(run.per_s * body.events, usage.usage["ingest"].cpu_s / events * 1e6)

    return measure


def _drains(side: Stand, directory: Path, core: int) -> Callable[[], Round]:
    seeds = iter(range(1, 1_000))

    def measure() -> Round:
        rows = drain.fill(side, directory, seconds=FILL_SECONDS, core=core, seed=next(seeds))
        took = drain.drain(side, rows)
        return Round(rows / took["wall_s"], took["flusher"] / rows * 1e6)

    return measure


def report(name: str, here: Sequence[Round], there: Sequence[Round]) -> str:
    """Returns the pairs, then both verdicts. Of rates more is better; of CPU time less is."""
    rates = ratios([one.per_s for one in here], [one.per_s for one in there])
    cpu = ratios([one.cpu_us for one in here], [one.cpu_us for one in there])
    rows = [["pair", "here/s", "base/s", "ratio", "here µs", "base µs", "ratio"]]
    for at, (one, other) in enumerate(zip(here, there, strict=True)):
        rows.append(
            [
                str(at + 1),
                f"{one.per_s:,.0f}",
                f"{other.per_s:,.0f}",
                f"{rates[at]:.3f}",
                f"{one.cpu_us:.2f}",
                f"{other.cpu_us:.2f}",
                f"{cpu[at]:.3f}",
            ]
        )
    said = "\n".join((_verdict("events/s", rates, is_less=False), _verdict("CPU per event", cpu, is_less=True)))
    return f"\n{name}\n{text(rows)}\n{said}"


def _verdict(what: str, found: Sequence[float], *, is_less: bool) -> str:
    median = statistics.median(found)
    said = "no verdict: the spread is wider than the change, or there are too few pairs"
    if is_decided(found):
        said = "better" if (median < 1) == is_less else "worse"
    return f"{what}: median {median:.3f} of the base ({min(found):.3f} to {max(found):.3f}): {said}"


if __name__ == "__main__":
    sys.exit(main())
