"""The readers' benchmark asks twelve questions."""

from loadtest.bench.readers import QUESTIONS


def test_there_are_twelve_questions() -> None:
    """The target of docs/performance.md says twelve."""
    assert len(QUESTIONS) == 12
