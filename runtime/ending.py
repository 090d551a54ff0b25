"""Ends a process without a last search for garbage, which takes a tenth of a second of CPU where our libraries are loaded.

The interpreter searches everything it ever imported, although the system takes back all memory a moment later.

Not promised: that objects in circles are finalized. Whatever has to be closed is closed before.
"""

import gc
import sys
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """Exits with this status."""
    gc.freeze()
    sys.exit(status)
