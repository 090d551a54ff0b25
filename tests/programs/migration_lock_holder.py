"""Takes the lock of migrations on the ClickHouse at the URL that it is given, prints `held`, and keeps it."""

import sys
import time

from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import _lock

with _lock(ClickHouse(sys.argv[1]).run, print):
    print("held", flush=True)
    time.sleep(60)
