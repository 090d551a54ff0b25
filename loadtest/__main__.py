"""`python -m loadtest`: one run, its reconciliation and its report.

SIGTERM or SIGINT ends the sending; the logs and the result are written as ever. A second one
ends the waiting for ClickHouse.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import uvloop

from loadtest import config, report
from loadtest.account import Account
from loadtest.acklog import AckLog
from loadtest.drive import Driver, ServerUnreachableError
from loadtest.generate import Plan, requests
from loadtest.target import Target
from loadtest.verify import Verdict, Verifier, VerifyError

if TYPE_CHECKING:
    from loadtest.config import Arguments


def main(argv: list[str] | None = None) -> int:
    arguments = config.parse(sys.argv[1:] if argv is None else argv)
    try:
        target = Target.of(arguments.url)
    except ValueError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="loadtest-") as directory:
        log_path = arguments.ack_log or Path(directory) / "acknowledged"
        return _run(arguments, target, log_path)


def _run(arguments: Arguments, target: Target, log_path: Path) -> int:
    started_s = time.time()
    plan = Plan(
        rate=arguments.rate,
        duration_s=arguments.duration,
        events_per_body=arguments.events_per_body,
        arrivals=cast(Literal["poisson", "fixed"], arguments.arrivals),
        sites=tuple(arguments.site),
        seed=arguments.seed,
        run=secrets.token_hex(8),
        base_ms=int(started_s * 1000),
    )
    with AckLog(log_path, fsync=arguments.fsync) as log:
        account = Account(log, warmup_s=arguments.warmup, on_second=_progress(arguments.duration))
        try:
            run = uvloop.run(_drive(arguments, plan, target, account))
        except ServerUnreachableError as error:
            print(f"loadtest: {error}", file=sys.stderr)
            return 2
    ended_s = time.time()
    result = report.of(plan, run, account, None)
    _write(arguments, result)  # before the wait, which a second signal may cut short
    status = 0
    if arguments.verify:
        verdict, status = _verify(arguments, plan, log_path, started_s=started_s, ended_s=ended_s)
        result = report.of(plan, run, account, verdict)
        _write(arguments, result)
    print(report.summary(result))
    return status


async def _drive(arguments: Arguments, plan: Plan, target: Target, account: Account) -> report.Run:
    driver = Driver(
        target,
        account,
        connections=arguments.connections,
        timeout_s=arguments.timeout,
        resends=arguments.resend,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, driver.stop)
    stream = requests(plan)
    gc.freeze()  # modules and crowd are no garbage; looking through them is a pause of tens of milliseconds
    cpu_s = time.process_time()
    await driver.run(stream)
    return report.Run(
        url=arguments.url,
        connections=arguments.connections,
        timeout_s=arguments.timeout,
        warmup_s=arguments.warmup,
        resends=arguments.resend,
        elapsed_s=driver.elapsed_s,
        cpu_s=time.process_time() - cpu_s,
        reconnects=driver.reconnects,
        was_stopped=driver.was_stopped,
        logged=account.log.logged,
    )


def _verify(
    arguments: Arguments, plan: Plan, log_path: Path, *, started_s: float, ended_s: float
) -> tuple[Verdict | None, int]:
    """The verdict and the exit status it asks for."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopped.append(number))
    verifier = Verifier(
        arguments.clickhouse_url,
        sites=plan.sites,
        since_s=started_s,
        user=arguments.clickhouse_user,
        password=arguments.clickhouse_password,
        is_stopped=lambda: bool(stopped),
    )
    try:
        verdict = verifier.verify(log_path, ended_s=ended_s, timeout_s=arguments.verify_timeout)
    except VerifyError as error:
        print(f"loadtest: not reconciled: {error}", file=sys.stderr)
        return None, 2
    finally:
        verifier.close()
    return verdict, 0 if verdict.is_exact else 1


def _write(arguments: Arguments, result: dict[str, object]) -> None:
    if arguments.json is not None:
        report.write(arguments.json, result)


def _progress(duration_s: float) -> report.OnSecond | None:
    """A line that rewrites itself, only where somebody is looking."""
    if not sys.stderr.isatty():
        return None

    def show(row: dict[str, float]) -> None:
        end = "\n" if row["second"] + 1 >= duration_s else ""
        sys.stderr.write(f"\r\x1b[K{report.progress(row, duration_s)}{end}")
        sys.stderr.flush()

    return show


if __name__ == "__main__":
    sys.exit(main())
