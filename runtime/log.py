"""Writes log lines to stderr: JSON, or plain text when a terminal reads them.

What others say (a child that knows no JSON, or a refusal to start) is written in the same form.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from datetime import UTC, datetime

import orjson


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: ts, level, logger, pid, text, and trace after an exception."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = record.getMessage().encode("utf-8", "replace").decode()  # orjson refuses lone surrogates
        line = {"ts": moment, "level": record.levelname.lower(), "logger": record.name}
        trace = {"trace": self.formatException(record.exc_info)} if record.exc_info else {}
        return orjson.dumps({**line, "pid": record.process, "text": text, **trace}).decode()


def is_text(log_format: str) -> bool:
    """Returns whether lines are for people. Formats: json, text, auto (text on a terminal)."""
    return log_format == "text" or (log_format == "auto" and sys.stderr.isatty())


def set_up(log_format: str) -> None:
    """Sends every logger's lines from info up to stderr, in the format that the setting `log_format` asks for."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(text if is_text(log_format) else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def relay(name: str, line: bytes) -> None:
    """Passes on a line that a child said: JSON as it is, and anything else as the text of a line of ours."""
    with contextlib.suppress(orjson.JSONDecodeError):
        if isinstance(orjson.loads(line), dict):
            sys.stderr.buffer.write(line.rstrip(b"\n") + b"\n")
            sys.stderr.buffer.flush()
            return
    if text := line.decode("utf-8", "replace").rstrip():
        logging.getLogger(name).info("%s", text)


def refuse(text: str, log_format: str, name: str = "forebay") -> None:
    """Says why a process does not start: as plain text, or where `log_format` is json as JSON, each line as one."""
    if log_format != "json":
        sys.stderr.write(text + "\n")
        return
    set_up(log_format)
    for line in text.splitlines():
        logging.getLogger(name).critical("%s", line)
