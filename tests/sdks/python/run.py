"""Makes the visits of an SDK, all at once, each in a process of its own, and prints a JSON object for each that has ended.

    run.py SCRIPT '[{"name": ..., "url": ..., "site": ..., "key": ..., "page": ...}]'

The processes are forks, because some SDKs have one configuration for a process. They find what `make sdks` has installed, and
nothing of Forebay.
"""

import importlib.util
import json
import os
import sys
import traceback
from typing import Any


def made(visit: Any, one: dict[str, str]) -> None:
    """Makes a visit, and says how it ended."""
    thrown = ""
    try:
        visit(url=one["url"], site=one["site"], key=one["key"], page=one["page"])
    except Exception:  # whatever an SDK raises is what the test has to tell
        thrown = traceback.format_exc()
    os.write(1, (json.dumps({"visit": one["name"], "thrown": thrown[-1500:]}) + "\n").encode())


def main() -> None:
    script, visits = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("script", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    children = []
    for one in json.loads(visits):
        child = os.fork()
        if child == 0:
            made(module.visit, one)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
