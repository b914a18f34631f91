"""One pass over the rows, side by side with vectorised NumPy and with kernels fused by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import process_time

import numpy as np

from moestat.kernels import information
from tests.benchmarks import fused, numpy_em, roofline
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


def _score_by_hand(c: Case) -> object:
    gate, expert = np.zeros_like(c.gate), np.zeros((c.gate.shape[0], c.gate.shape[1] + 1))
    return fused.score(*c.tiles(), c.gate, c.coef, c.log_variance, gate, expert)


def _em_by_hand(c: Case) -> object:
    K, p = c.gate.shape
    n = p * (p + 1) // 2
    moments, pairs = np.zeros((K, n + p + 1)), np.zeros((K * (K - 1) // 2, n))
    return fused.em(*c.tiles(), c.gate, c.coef, c.log_variance, np.zeros_like(c.gate), moments, pairs)


def _hessian_by_hand(c: Case) -> object:
    K, p = c.gate.shape
    return fused.hessian(*c.tiles(), c.gate, c.coef, c.log_variance, np.zeros((3 * K, 3 * K, p, p)))


BY_HAND = {"score": _score_by_hand, "em": _em_by_hand, "hessian": _hessian_by_hand}


def against_fused(name: str, quick: bool) -> Iterator[Found]:
    """A pass of any gate and expert, by what one function for this gate and this expert takes."""
    for d, K in SHAPES[-1:] if quick else SHAPES:
        c = Case(d, K)

        def by_hand(c: Case = c) -> object:
            return BY_HAND[name](c)

        def ours(c: Case = c) -> object:
            return getattr(c.problem.passes, name)(c.theta)

        times, seconds, _ = ratio(ours, by_hand, rounds=15, clock=process_time)
        yield Found(f"d={d}, K={K}, n={N:,}", times, _per_row(seconds, N, K))


def gram_against_product(quick: bool) -> Iterator[Found]:
    """Weighted products of 101 features for 4 experts and their pairs, and the matrix product of NumPy's library."""
    K, q, B = 4, 101, 4096
    rng = np.random.default_rng(0)
    PI, weight, F = rng.random((K, B)), np.ones(B), rng.normal(size=(q, B))
    pairs, products = K * (K - 1) // 2, q * (q + 1) // 2
    out, A = np.zeros((12, products + 1)), rng.normal(size=(1000, 1000))

    def ours() -> object:
        return information.add_feature_products(PI, PI, weight, F, True, True, out)

    _, product, own = ratio(lambda: A @ A, ours, clock=process_time)
    rate, theirs = (K + pairs) * products * B / own, len(A) ** 3 / product
    note = f"{rate * 1e-9:.1f} multiply-adds per ns; matrix product of 1000 x 1000, one thread, {theirs * 1e-9:.1f}"
    yield Found("d=100, K=4", 100.0 * rate / theirs, note)


def of_roofline(quick: bool) -> Iterator[Found]:
    """Exponentials and multiply-adds of a pass at their measured rates, by the time that it takes."""
    for row in roofline.measure((1, 5), (2, 4, 8), ("em",), rounds=10 if quick else 60):
        note = f"{row.nanoseconds:.1f} ns per row and expert; {row.share_of_all:.0%} with all operations counted"
        yield Found(f"EM pass, d={row.d}, K={row.K}", 100.0 * row.share, note)


def _per_row(seconds: float, n: int, K: int) -> str:
    return f"{seconds / n / K * 1e9:.1f} ns per row and expert"
