"""Lets some SDKs make their visits to a Forebay of its own, and prints what is wrong: `python -m tests.sdks posthog_js umami_node`.

Without names it takes all of them. `--visits plain,503` makes these visits alone, which takes seconds. The exit status is 1
if something is wrong. `--write` writes the table of tested clients in docs/compatibility.md instead.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.sdks.campaign import faults_of
from tests.sdks.declared import KILLED, VISITS
from tests.sdks.families import ALL
from tests.sdks.installed import HERE, versions
from tests.sdks.table import page_of, written


def main() -> int:
    parser = argparse.ArgumentParser(description="lets unmodified SDKs send to Forebay")
    parser.add_argument("sdks", nargs="*", help=f"of {', '.join(sdk.name for sdk in ALL)}")
    parser.add_argument("--visits", default=",".join((*VISITS, KILLED)), help="of %(default)s")
    parser.add_argument("--write", action="store_true", help="write the table of docs/compatibility.md")
    given = parser.parse_args()
    if given.write:
        page = page_of(HERE.parents[1])
        page.write_text(written(page.read_text(), ALL, versions()))
        return 0
    wanted = given.visits.split(",")
    unknown = {*given.sdks} - {sdk.name for sdk in ALL} | {*wanted} - {*VISITS, KILLED}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    sdks = [sdk for sdk in ALL if not given.sdks or sdk.name in given.sdks]
    visits = {name: faults for name, faults in VISITS.items() if name in wanted}
    with tempfile.TemporaryDirectory(prefix="forebay-sdks-") as folder:
        wrong = asyncio.run(faults_of(sdks, Path(folder), visits, kills=KILLED in wanted, is_whole=True))
    sys.stdout.write("".join(f"{one}\n" for one in wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
