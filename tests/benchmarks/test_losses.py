"""Voronoi losses of many fits at once, as users give them; ``make bench ARGS="-k losses"`` prints what was measured."""

from __future__ import annotations

from time import process_time

import numpy as np

from moestat.theory import voronoi_loss
from tests.unit.theory.pairs import near, random_arrays, softmax_measure

#: Losses a second, of three experts against a truth with two, of one covariate.
BOUND = 10_000

#: Timed by the processor, which does not count what others do to the machine.
N = 4000


def test_losses_a_second():
    rng = np.random.default_rng(0)
    for K, k in ((3, 2), (3, 3)):
        truth = random_arrays(rng, k)
        G0 = softmax_measure(*truth, moments="normal")
        fits = [softmax_measure(*near(rng, truth, K, 0.3)) for _ in range(N)]
        voronoi_loss(fits[:2], G0)
        best = np.inf
        for _ in range(5):
            start = process_time()
            voronoi_loss(fits, G0)
            best = min(best, process_time() - start)
        print(f"\n{K} atoms against {k}: {N / best:,.0f} losses a second")
        assert best < N / BOUND
