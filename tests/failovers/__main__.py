"""`make failovers N=200` kills primaries of Redis under load again and again, moves slots, and counts what came of it.

Half of the failovers are of a primary with one replica that lags (pairs.py), and half of primaries of a cluster, between which
slots move (clusters.py). Half of the rounds are of events with client ids and half without, so nothing hides a copy. It
prints a line for each round, and exits with 1 if an acknowledged event is lost or stored twice.
"""

from __future__ import annotations

import argparse
import random
import sys
from itertools import chain

from tests.failovers import clusters, pairs
from tests.failovers.result import Result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.failovers", description=__doc__)
    parser.add_argument("--failovers", type=int, default=200)
    parser.add_argument("--moves", type=int, help="of slots; default: half as many")
    parser.add_argument("--of-pairs", type=int, help="how many of the failovers; default: half of them")
    parser.add_argument("--replicas", type=int, default=1, help="of each primary of the cluster")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    of_pairs = options.failovers // 2 if options.of_pairs is None else options.of_pairs
    moves = options.failovers // 2 if options.moves is None else options.moves
    total = Result()
    of_clusters = clusters.rounds(options.failovers - of_pairs, moves, rng, replicas=options.replicas)
    for result in chain(pairs.rounds(of_pairs, rng), of_clusters):
        total = total.plus(result)
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()
    sys.stdout.write(f"all: {total}\n")
    return int(bool(total.lost or total.doubled))


if __name__ == "__main__":
    sys.exit(main())
