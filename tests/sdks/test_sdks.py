"""Unmodified SDKs, as people have them embedded, send to Forebay, and each of their events becomes one row."""

from pathlib import Path

from tests.sdks.campaign import faults_of
from tests.sdks.declared import PLAIN, VISITS
from tests.sdks.families import ALL
from tests.sdks.installed import runnable
from tests.support.volume import IS_WHOLE

# `make test` makes these visits and those with ingest killed, `make thorough` and `python -m tests.sdks` all of them.
SOME = frozenset((PLAIN, "202", "503", "cut"))
NEVER = ("one too many", "sent ")  # what a busy machine can't be the reason of


async def test_each_event_of_an_unmodified_sdk_is_one_row(tmp_path: Path) -> None:
    """Holds whatever an SDK is answered, and also when its connection is cut or ingest is killed: no row is missing or double.

    On a busy machine a page may be closed before its client has sent everything. So an SDK of which something is missing makes its
    visits once more; what came twice is never passed over.
    """
    sdks = runnable(ALL)
    visits = VISITS if IS_WHOLE else {name: faults for name, faults in VISITS.items() if name in SOME}
    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir()
    again.mkdir()
    wrong = await faults_of(sdks, first, visits)
    if wrong and not any(text in line for line in wrong for text in NEVER):
        print("\n".join(wrong))
        names = {line.partition(", ")[0] for line in wrong}
        wrong = await faults_of([sdk for sdk in sdks if sdk.name in names], again, visits)
    assert not wrong, "\n".join(wrong)
