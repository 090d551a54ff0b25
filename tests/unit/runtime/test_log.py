"""runtime/log.py: log lines are one JSON object each, and text for people."""

import logging

import orjson
import pytest

from runtime import log


def record(text: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("ingest.http.app", logging.WARNING, __file__, 1, text, values, None)


@pytest.mark.parametrize("text", ["spool is full", "a\nb", '"', "\ud800", "é\x00"])
def test_a_line_is_one_json_object(text: str) -> None:
    """Whatever the text holds, it is one line that decodes."""
    line = log.JsonLines().format(record("%s", text))
    assert "\n" not in line
    found = orjson.loads(line)
    assert (found["level"], found["logger"]) == ("warning", "ingest.http.app")
    assert found["text"] == text.replace("\ud800", "?")


def test_an_exception_brings_its_trace() -> None:
    """The traceback is a field of the same line."""
    error = ValueError("odd")
    made = record("failed")
    made.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: odd" in orjson.loads(log.JsonLines().format(made))["trace"]


@pytest.mark.parametrize(("log_format", "is_json"), [("json", True), ("text", False), ("auto", True)])
def test_the_format_is_chosen(log_format: str, is_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` is JSON where no terminal reads it."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log.set_up(log_format)
        logging.getLogger("x").info("here")
        logging.getLogger("x").debug("not here")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("{") is is_json
