"""Log lines on stderr: JSON, or plain text when a terminal reads them."""

from __future__ import annotations

import contextlib
import logging
import sys
from datetime import UTC, datetime

import orjson


class JsonLines(logging.Formatter):
    """One JSON object a line: ts, level, logger, pid, text, and trace after an exception."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = record.getMessage().encode("utf-8", "replace").decode()  # orjson refuses lone surrogates
        line = {"ts": moment, "level": record.levelname.lower(), "logger": record.name}
        trace = {"trace": self.formatException(record.exc_info)} if record.exc_info else {}
        return orjson.dumps({**line, "pid": record.process, "text": text, **trace}).decode()


def is_text(log_format: str) -> bool:
    """Whether lines are for people. Formats: json, text, auto (text on a terminal)."""
    return log_format == "text" or (log_format == "auto" and sys.stderr.isatty())


def set_up(log_format: str) -> None:
    """Sends every logger's lines from info up to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(text if is_text(log_format) else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def relay(name: str, line: bytes) -> None:
    """Passes on what a child said: a line of JSON as it is, anything else as the text of one."""
    with contextlib.suppress(orjson.JSONDecodeError):
        if isinstance(orjson.loads(line), dict):
            sys.stderr.buffer.write(line.rstrip(b"\n") + b"\n")
            sys.stderr.buffer.flush()
            return
    if text := line.decode("utf-8", "replace").rstrip():
        logging.getLogger(name).info("%s", text)


def refuse(text: str, log_format: str) -> None:
    """Says why nothing is started: plain text, or a line of JSON for each of it where `log_format` is json."""
    if log_format != "json":
        sys.stderr.write(text + "\n")
        return
    set_up(log_format)
    for line in text.splitlines():
        logging.getLogger("forebay").critical("%s", line)
