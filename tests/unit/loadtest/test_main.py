"""The load test's command line refuses what has no sense."""

import pytest

from loadtest import config


@pytest.mark.parametrize(
    "argv",
    [
        ["--rate", "0"],
        ["--duration", "-1"],
        ["--events-per-body", "501"],
        ["--connections", "0"],
        ["--arrivals", "x"],
        ["--generators", "0"],
        ["--profile", "none"],
        ["--sweep", "--no-verify"],
        ["--sweep", "--profile", "outage"],
    ],
)
def test_arguments_without_sense_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the argument, before anything is sent."""
    with pytest.raises(SystemExit) as exit_:
        config.parse(argv)
    assert exit_.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_sites_may_be_given_at_once_or_one_by_one() -> None:
    """Without any it is `demo`."""
    assert config.parse(["--site", "a", "b", "--site", "c"]).site == ["a", "b", "c"]
    assert config.parse([]).site == ["demo"]
