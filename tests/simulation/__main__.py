"""`python -m tests.simulation SEED` replays one simulation with a trace; `--count N` runs N seeds without."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.fates import Fate
from tests.simulation.pool import Case, failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--count", type=int, help="seeds from this one on, without a trace")
    parser.add_argument("--call", type=int, help="the small simulation, with a fault at this call")
    parser.add_argument("--fate", choices=[fate.name for fate in Fate], default=Fate.NONE.name)
    parser.add_argument("--crash-step", type=int)
    options = parser.parse_args()
    if options.count:
        found = failures(Case(seed) for seed in range(options.seed, options.seed + options.count))
        print("\n".join(found) or f"{options.count} simulations, nothing broken")
        return bool(found)
    case = Case(options.seed, options.call, Fate[options.fate], options.crash_step)
    verdict = case.run(is_traced=True)
    print("\n".join(verdict.broken) or f"nothing broken: {verdict.acknowledged} rows acknowledged")
    return bool(verdict.broken)


if __name__ == "__main__":
    sys.exit(main())
