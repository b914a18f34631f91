"""One pass over the rows, side by side with vectorised NumPy and with kernels fused by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import process_time

import numpy as np

from tests.benchmarks import fused, numpy_em
from tests.benchmarks.case import Case, N
from tests.benchmarks.measure import Found
from tests.benchmarks.timing import ratio

Shape = tuple[int, int]
SHAPES: tuple[Shape, ...] = ((1, 2), (1, 4), (1, 8), (5, 2), (5, 4), (5, 8))

#: Numbers of the design matrix: at a million rows and more, NumPy pays for its temporaries as large data make it do.
NUMBERS = 6_000_000


def em_against_numpy(shapes: Sequence[Shape], quick: bool) -> Iterator[Found]:
    """E-step and all sums of an M-step in one pass; E-step, exact experts' and one guarded gate step in NumPy."""
    for d, K in shapes[-1:] if quick else shapes:
        n = min(1_000_000, NUMBERS // (d + 1)) // (5 if quick else 1)
        c = Case(d, K, n)
        variance = np.exp(c.log_variance)

        def by_numpy(c: Case = c, variance: np.ndarray = variance) -> object:
            return numpy_em.iteration(c.F, c.y, c.gate, c.coef, variance)

        def ours(c: Case = c) -> object:
            return c.problem.passes.em(c.theta)

        times, theirs, seconds = ratio(by_numpy, ours, rounds=3 if quick else 5)
        yield Found(f"d={d}, K={K}, n={n:,}", times, f"{_per_row(seconds, n, K)}; NumPy {_per_row(theirs, n, K)}")


def score_against_fused(quick: bool) -> Iterator[Found]:
    """Log-likelihood and score."""
    for d, K in SHAPES[-1:] if quick else SHAPES:
        c = Case(d, K)
        X, Y, W = c.tiles()

        def by_hand(c: Case = c, X: np.ndarray = X, Y: np.ndarray = Y, W: np.ndarray = W) -> object:
            gate, expert = np.zeros_like(c.gate), np.zeros((c.gate.shape[0], X.shape[1] + 1))
            return fused.score(X, Y, W, c.gate, c.coef, c.log_variance, gate, expert)

        def ours(c: Case = c) -> object:
            return c.problem.passes.score(c.theta)

        times, seconds, _ = ratio(ours, by_hand, rounds=15, clock=process_time)
        yield Found(f"d={d}, K={K}, n={N:,}", times, _per_row(seconds, N, K))


def hessian_against_fused(quick: bool) -> Iterator[Found]:
    """Log-likelihood, score and exact Hessian; by hand the sums of the Hessian alone."""
    for d, K in SHAPES[-1:] if quick else SHAPES:
        c = Case(d, K)
        X, Y, W = c.tiles()

        def by_hand(c: Case = c, X: np.ndarray = X, Y: np.ndarray = Y, W: np.ndarray = W) -> object:
            k, p = c.gate.shape
            return fused.hessian(X, Y, W, c.gate, c.coef, c.log_variance, np.zeros((3 * k, 3 * k, p, p)))

        def ours(c: Case = c) -> object:
            return c.problem.passes.hessian(c.theta)

        times, seconds, _ = ratio(ours, by_hand, rounds=7, clock=process_time)
        yield Found(f"d={d}, K={K}, n={N:,}", times, _per_row(seconds, N, K))


def _per_row(seconds: float, n: int, K: int) -> str:
    return f"{seconds / n / K * 1e9:.1f} ns per row and expert"
