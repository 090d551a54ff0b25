"""Says how often a test repeats what it does by chance: a part in `make test`, all of it in `make thorough`.

What has a name is tried in both, if not with everything else that has one: either disk full, on either kind of disk, but
not every pair. Tests that break a rule, to see that it is noticed, are not made smaller by it.
"""

import os

IS_WHOLE = "FOREBAY_TEST_THOROUGH" in os.environ


def volume(part: int, whole: int) -> int:
    """Returns how many are tried in this run."""
    return whole if IS_WHOLE else part
