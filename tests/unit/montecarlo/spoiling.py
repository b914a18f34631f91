"""Reads many spoilt files within a limit of memory, as a program of its own: ``spoiling.py COUNT BYTES``."""

from __future__ import annotations

import random
import resource
import sys

from tests.unit.montecarlo.test_toml_text import PIECES, refused, spoil
from tests.unit.montecarlo.written import PATHS, TEXT, VALUES, changed, complaint

HOWS = ("insert", "delete", "drop line", "double line", "value")


def main(count: int, memory: int) -> None:
    """Prints how many were read, and how many refused; anything else is an error."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    chance = random.Random(0)
    n_refused = 0
    for i in range(count):
        if i % 2:
            n_refused += refused(changed(chance.choice(PATHS), chance.choice(VALUES)))
        else:
            cuts = [
                (chance.choice(HOWS), chance.randrange(10_000), chance.choice(PIECES))
                for _ in range(chance.randint(1, 4))
            ]
            n_refused += bool(complaint(spoil(TEXT, cuts)))
    print(count - n_refused, n_refused)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
