"""Log lines on stderr: JSON, or plain text when a terminal reads them."""

from __future__ import annotations

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


def set_up(log_format: str) -> None:
    """Sends every logger's lines from info up to stderr. Formats: json, text, auto (text on a terminal)."""
    is_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(text if is_text else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
