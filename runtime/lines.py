"""Writes what others say in the form of our own lines: JSON where lines are JSON, else as it was said."""

from __future__ import annotations

import contextlib
import logging
import sys

import orjson

from runtime import log


def is_text(log_format: str) -> bool:
    """Returns whether lines are for people. Formats: json, text, auto (text on a terminal)."""
    return log_format == "text" or (log_format == "auto" and sys.stderr.isatty())


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
    log.set_up(log_format)
    for line in text.splitlines():
        logging.getLogger("forebay").critical("%s", line)
