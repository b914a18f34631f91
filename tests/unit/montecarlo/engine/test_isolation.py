"""Isolation finds the replications that kill their workers, all of them and no other, whatever the groups."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log2

import numpy as np
import pytest

from moestat.montecarlo.engine.isolation import KILLS, Suspects
from moestat.montecarlo.rows import Batch


def tried(batches, poison, workers=1):
    """Put batches under suspicion: those that are found guilty, those cleared, and the number of failures."""
    suspects, guilty, cleared, failures = Suspects(), [], [], 0
    suspects.accuse(batches)
    while suspects:
        group = suspects.next()
        failed = tuple(batch for batch in group if set(batch.replications) & poison)
        if failed:  # the pool breaks, and all that was in it is lost
            failures += 1
            found = suspects.failed(group, group, workers)
            guilty += [] if found is None else [found.replications]
        else:
            cleared += [r for batch in group for r in batch.replications]
    return guilty, sorted(cleared), failures


@pytest.mark.parametrize("seed", range(20))
def test_the_guilty_are_found_and_nobody_else(seed):
    rng = np.random.default_rng(seed)
    edges = np.unique(np.r_[0, rng.integers(1, 200, rng.integers(1, 12)), 200])
    batches = tuple(Batch(10, tuple(range(a, b)), ("a",)) for a, b in pairwise(edges.tolist()))
    poison = set(rng.choice(200, rng.integers(0, 4), replace=False).tolist())
    guilty, cleared, failures = tried(batches, poison)
    assert sorted(guilty) == [(r,) for r in sorted(poison)]
    assert cleared == [r for r in range(200) if r not in poison]
    longest = max(len(batch.replications) for batch in batches)
    assert failures <= len(poison) * (1 + ceil(log2(len(batches))) + ceil(log2(longest)) + KILLS)


def test_a_death_by_chance_clears_all():
    assert tried((Batch(10, (0, 1), ("a",)), Batch(10, (2,), ("a",))), set()) == ([], [0, 1, 2], 0)


def test_an_engine_that_tried_for_itself_need_not_try_again():
    assert tried((Batch(10, (0,), ("a",)),), {0}, workers=4) == ([(0,)], [], 1)


def test_the_same_replication_of_another_size_has_its_own_count():
    batches = tuple(Batch(n, (0,), ("a",)) for n in (10, 20))
    suspects = Suspects()
    for batch in batches * (KILLS - 1):
        assert suspects.failed((batch,), (batch,), 1) is None
    assert suspects.failed(batches[:1], batches[:1], 1) == batches[0]
