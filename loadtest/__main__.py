"""`python -m loadtest`: does a run or a sweep, with its reconciliation and its report.

SIGTERM or SIGINT ends the sending; the logs and the result are written as usual. A second one ends the waiting for
ClickHouse.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import uvloop

from loadtest import config
from loadtest.load import generator
from loadtest.load.generators import GeneratorDiedError
from loadtest.load.target import Target
from loadtest.report import page, result
from loadtest.report import text as report
from loadtest.report.progress import Progress
from loadtest.run import RefusedError, run
from loadtest.settings import Settings
from loadtest.sweep import sweep
from loadtest.watch.deployment import NoDeploymentError
from loadtest.watch.reconcile import VerifyError
from runtime.settings import SettingsError

FAULT = 2


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == [generator.FLAG]:
        status: int = uvloop.run(generator.serve())
        return status
    if words[:1] == ["report"]:
        return _redraw(words[1:])
    try:
        arguments = config.parse(words)
    except SettingsError as error:
        return _fault(str(error))
    # It logs what its exceptions say too, and an outage of ClickHouse may be the run's own fault profile.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    try:
        return _sweep(arguments) if arguments.sweep else _run(arguments)
    except VerifyError as error:
        hint = "--clickhouse-url says where it is, FOREBAY_CLICKHOUSE_PASSWORD is its password, --no-verify runs without it"
        return _fault(f"{error}\n{hint}")
    except (GeneratorDiedError, NoDeploymentError, RefusedError, OSError, ValueError) as error:
        return _fault(str(error))
    except KeyboardInterrupt:  # the run had not begun, and so did not handle the signal
        return 130


def _run(arguments: config.Arguments) -> int:
    settings = arguments.settings()
    _reach(settings)
    found = run(settings, Progress(is_quiet=arguments.quiet))
    _keep(arguments, found.figures)
    print(report.summary(found.figures))
    return found.exit_status


def _sweep(arguments: config.Arguments) -> int:
    asked = arguments.asked()
    _reach(asked.settings)
    found = sweep(asked, Progress(is_quiet=arguments.quiet))
    _keep(arguments, found.figures)
    print(report.knee(found.figures))
    return 0 if found.rate else 1


def _reach(settings: Settings) -> None:
    """Raises NoDeploymentError, with what to do, if nothing answers at the URL, which is the usual mistake.

    It is called before anything starts, ClickHouse included. Raises ValueError for a malformed URL.
    """
    url = settings.deployment.url
    target = Target.of(url)
    try:
        target.reach(settings.timeout_s)
    except OSError as error:
        raise NoDeploymentError(
            f"nothing answers at {url} ({error.strerror or error}): start a server here with `forebay up` (in a checkout"
            " `make up`), or say with --url or --data where one runs"
        ) from error


def _keep(arguments: config.Arguments, figures: dict[str, Any]) -> None:
    if arguments.json is not None:
        result.write(arguments.json, figures)
    if arguments.report is not None:
        page.write(arguments.report, figures)


def _redraw(words: list[str]) -> int:
    if not 1 <= len(words) <= 2 or words[0].startswith("-"):
        return _fault("usage: forebay loadtest report RESULT.json [PAGE.html]")
    source = Path(words[0])
    try:
        figures = json.loads(source.read_text("utf-8"))
        version = figures.get("version") if isinstance(figures, dict) else None
        if version != result.VERSION:
            return _fault(f"{source} is a result of version {version}, and only version {result.VERSION} can be drawn")
        target = Path(words[1]) if len(words) == 2 else source.with_suffix(".html")
        page.write(target, figures)
    except (OSError, ValueError) as error:
        return _fault(f"{source}: {error}")
    print(target)
    return 0


def _fault(text: str) -> int:
    print(f"loadtest: {text}", file=sys.stderr)
    return FAULT


if __name__ == "__main__":
    sys.exit(main())
