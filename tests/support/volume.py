"""Says how often a test repeats what it does by chance: a part in `make test`, all of it in `make thorough`.

Every case that a test names is tried in both. The part is chosen so that a rule that is broken is still noticed, which
the tests that break one at a time show with the same numbers or fewer.
"""

import os

IS_WHOLE = "FOREBAY_TEST_THOROUGH" in os.environ


def volume(part: int, whole: int) -> int:
    """Returns how many are tried in this run."""
    return whole if IS_WHOLE else part
