"""Gives the commands their settings, and the processes that they start an environment.

It is also where a command finds the `forebay up` that runs on a data directory: by the file `run.json` in it.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

from forebay.clickhouse import ANSWER_SECONDS, ClickHouse
from runtime import settings
from runtime.settings import SettingsError
from schemas.runfile import RUN_FILE, Running
from schemas.settings import PAGE, PREFIX, ToolSettings, UpSettings
from schemas.tracker_names import TRACKER_PATH, TrackerNames


def up_settings(**given: Any) -> UpSettings:
    """Returns the settings of `forebay up`; what the command line has given wins, unless it is None. Raises SettingsError."""
    return settings.load(UpSettings, os.environ, given)


def tool_settings(**given: Any) -> ToolSettings:
    """Returns the settings of the tools; what the command line has given wins, unless it is None. Raises SettingsError."""
    return settings.load(ToolSettings, os.environ, given)


def is_production(up: UpSettings) -> bool:
    """Returns whether strangers may reach it: it has no demo page then, and takes only sites that somebody named."""
    return up.production or bool(up.public_url)


def read_environment_file(name: str) -> None:
    """Adds the variables of a file, as systemd reads one, to those that the environment does not have.

    A file whose name begins with `-` may be missing, without that sign. Raises SettingsError.
    """
    path = Path(name.removeprefix("-"))
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        if name.startswith("-"):
            return
        raise SettingsError(f"{path}: {error.strerror}") from error
    except PermissionError as error:
        raise SettingsError(f"{path} may not be read by this user: try it with sudo") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    for line in text.replace("\\\n", "").splitlines():
        variable, sign, value = line.strip().partition("=")
        if sign and variable[0:1] not in {"#", ";", ""}:
            value = value.strip()
            quote = value[0:1] if value[0:1] in {"'", '"'} and value[-1:] == value[0:1] and len(value) > 1 else ""
            os.environ.setdefault(variable.strip(), value[1:-1] if quote else value)


def be_utc() -> None:
    """Makes UTC the zone of this process, whatever the host's is."""
    os.environ["TZ"] = "UTC"
    time.tzset()


def operator() -> str:
    """Returns the name of the operating system's user who runs this, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def unknown() -> list[str]:
    """Returns a line for each variable of ours that no process reads."""
    return settings.unknown(os.environ)


def tell_systemd(state: str) -> None:
    """Sends systemd a state (sd_notify(3)), where it started us and waits for one. Raises OSError."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


def variables(**values: str) -> dict[str, str]:
    """Returns settings as variables of an environment."""
    return {f"{PREFIX}{name.upper()}": value for name, value in values.items()}


def child_environment(**values: str) -> dict[str, str]:
    """Returns our environment with these settings on top, for a child that must import the same packages as we do.

    Python's safe path is set, because a directory called `ingest` where `forebay up` is started need not be ours.
    """
    root = Path(__file__).resolve().parent.parent
    said = {line.partition(":")[0] for line in unknown()}  # we have reported these; the children need not do so again
    environment = {name: value for name, value in os.environ.items() if name not in said}
    environment |= variables(**values)
    environment["PYTHONSAFEPATH"] = "1"
    if root.name not in {"site-packages", "dist-packages"}:  # a checkout: importable by its path alone
        rest = os.environ.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{rest}" if rest else str(root)
    return environment


def running(data: str) -> Running | None:
    """Returns what the `forebay up` on this data directory wrote when it was ready; None when none runs.

    Raises SettingsError where this user may not look.
    """
    try:
        return Running.decode((Path(data) / RUN_FILE).read_bytes())
    except PermissionError as error:
        raise SettingsError(f"{data} may not be read by this user: try it with sudo") from error
    except (OSError, ValueError):
        return None


def clickhouse(
    options: ToolSettings, *, timeout_seconds: float = ANSWER_SECONDS, is_patient: bool = False
) -> ClickHouse:
    """Returns a client of the ClickHouse that the settings name, or that of the running `forebay up`.

    Raises SettingsError without either, and ClickHouseError for what is no URL of ClickHouse.
    """
    return ClickHouse(
        clickhouse_url(options),
        user=options.clickhouse_user,
        password=options.clickhouse_password,
        timeout_seconds=timeout_seconds,
        is_patient=is_patient,
    )


def clickhouse_url(options: ToolSettings) -> str:
    """Returns the URL from the settings, else that of the running `forebay up`. Raises SettingsError without either."""
    return options.clickhouse_url or _of_running(options, "clickhouse_url", "--clickhouse-url")


def redis_url(options: ToolSettings) -> str:
    """Returns the URL from the settings, else that of the running `forebay up`. Raises SettingsError without either."""
    return options.redis_url or _of_running(options, "redis_url", "--redis-url")


def dashboard_url(options: ToolSettings) -> str:
    """Returns the URL from the settings, else that of the running `forebay up`. Raises SettingsError without either."""
    return options.dashboard_url or _of_running(options, "dashboard_url", "--dashboard-url")


def spool_folder(options: ToolSettings) -> Path | None:
    """Returns the spool's folder from the settings, else that of the running `forebay up`.

    None means that ingest runs elsewhere, or that we do not know where it spools.
    """
    if options.spool_dir:
        return Path(options.spool_dir)
    return Path(options.data) / "spool" if running(options.data) and not options.redis_url else None


def _of_running(options: ToolSettings, name: str, option: str) -> str:
    found = running(options.data)
    url = getattr(found, name) if found is not None else ""
    if not url:
        raise SettingsError(
            f"no `forebay up` runs on {options.data}, or it is not ready yet: start it and wait, name the data of another one"
            f" with --data, or say where to look with {option} or {PREFIX}{name.upper()} (see {PAGE}#{name})"
        )
    return str(url)


def public_url(options: ToolSettings) -> str:
    """Returns the URL from the settings, else that of the running `forebay up`, else ingest's default port."""
    found = running(options.data)
    return options.public_url or (found.public_url or found.url if found is not None else "") or "http://127.0.0.1:8000"


def tracker_names(options: ToolSettings) -> TrackerNames:
    """Returns the names from the settings, else those of the running `forebay up`, else the usual ones."""
    found = running(options.data)
    return TrackerNames.of(options.tracker_path or (found.tracker_path if found is not None else "") or TRACKER_PATH)


def without_password(url: str) -> str:
    """Returns a URL as it may be printed."""
    return re.sub(r"//[^/@]*@", "//", url)
