"""Speed of the passes, as ratios taken in one run; ``make bench ARGS="-k passes"`` prints the table."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest

from moestat.gate_information import of_pairs
from moestat.kernels import information
from tests.benchmarks import fused, numpy_em
from tests.benchmarks.case import Case, N
from tests.benchmarks.timing import fastest, ratio

N_NUMPY = 1_000_000  # the size at which the vectorised program pays for its temporaries
CASES = [(1, 2), (1, 4), (1, 8), (5, 2), (5, 4), (5, 8)]
WIDE = [(20, 2), (20, 8)]


@pytest.fixture(scope="module")
def case():
    cases = {}

    def get(d, K, n=N):
        if (d, K, n) not in cases:
            cases.clear()  # one at a time: a million rows take room
            cases[d, K, n] = Case(d, K, n)
        return cases[d, K, n]

    return get


def report(name, d, K, value, bound, per_row):
    print(f"\n{name:28s} d={d} K={K}: {value:6.2f}  (figure {bound})  {per_row * 1e9:6.1f} ns per row and expert")


#: Rows, covariates, experts, and how many times faster than NumPy a pass is at least. Beyond a few covariates NumPy's
#: matrix products, which are compiled as well, take most of its time.
AGAINST_NUMPY = [
    *((N_NUMPY, d, K, 20 if K == 4 else 25) for d, K in CASES),  # four columns suit NumPy: 20 to 29 were measured
    (100_000, 20, 8, 8),
    (20_000, 100, 4, 2),
]


@pytest.mark.parametrize(("n", "d", "K", "least"), AGAINST_NUMPY)
def test_em_pass_against_numpy(case, n, d, K, least):
    """One pass with all statistics is many times faster than E-step plus one guarded gate step in NumPy."""
    c = case(d, K, n)
    variance = np.exp(c.log_variance)
    times, _, seconds = fastest(
        lambda: numpy_em.iteration(c.F, c.y, c.gate, c.coef, variance), lambda: c.problem.passes.em(c.theta), rounds=7
    )
    report("EM pass: NumPy / moestat", d, K, times, f">= {least}", seconds / n / K)
    assert times >= least


def test_weighted_products_against_the_matrix_product():
    """Weighted products of a hundred features run at half the rate of a large matrix product, or more."""
    K, q, B = 4, 101, 4096
    rng = np.random.default_rng(0)
    PI, weight, F = rng.random((K, B)), np.ones(B), rng.normal(size=(q, B))
    pairs, products = K * (K - 1) // 2, q * (q + 1) // 2
    out, A = np.zeros((12, products + 1)), rng.normal(size=(1000, 1000))
    _, product, own = ratio(
        lambda: A @ A, lambda: information.add_feature_products(PI, PI, weight, F, True, True, out), clock=process_time
    )
    rate, theirs = (K + pairs) * products * B / own, len(A) ** 3 / product
    print(f"\nweighted products, d=100 K=4: {rate * 1e-9:.1f} multiply-adds per ns, matrix product {theirs * 1e-9:.1f}")
    assert rate >= 0.5 * theirs


@pytest.mark.parametrize(("d", "K"), CASES + WIDE)
def test_score_pass_against_fused(case, d, K):
    """The generic score pass takes at most 1.25 times as long as the hand-fused one."""
    c = case(d, K)
    X, Y, W = c.tiles()

    def by_hand():
        gate, expert = np.zeros_like(c.gate), np.zeros((K, d + 2))
        loglik = fused.score(X, Y, W, c.gate, c.coef, c.log_variance, gate, expert)
        return loglik, gate, expert

    loglik, gate, expert = by_hand()
    sums = c.problem.passes.score(c.theta)
    terms = c.problem.passes.terms
    np.testing.assert_allclose(sums.loglik, loglik, rtol=1e-11)
    np.testing.assert_allclose(sums.score[terms.gate_columns], gate, atol=1e-8 * N)
    np.testing.assert_allclose(sums.score[terms.expert_columns], expert, atol=1e-8 * N)
    times, seconds, _ = fastest(lambda: c.problem.passes.score(c.theta), by_hand)
    report("score pass: generic / fused", d, K, times, "<= 1.25", seconds / N / K)
    assert times <= 1.25


@pytest.mark.parametrize(("d", "K"), CASES + WIDE)
def test_em_pass_against_fused(case, d, K):
    """The generic EM pass takes at most 1.25 times as long as the hand-fused one, which sums the same statistics."""
    c = case(d, K)
    X, Y, W = c.tiles()
    n = (d + 1) * (d + 2) // 2

    def by_hand():
        score, moments, pairs = np.zeros_like(c.gate), np.zeros((K, n + d + 2)), np.zeros((K * (K - 1) // 2, n))
        loglik = fused.em(X, Y, W, c.gate, c.coef, c.log_variance, score, moments, pairs)
        return loglik, score, moments, pairs

    loglik, score, moments, pairs = by_hand()
    sums = c.problem.passes.em(c.theta)
    columns = c.problem.passes.terms.gate_columns
    np.testing.assert_allclose(sums.loglik, loglik, rtol=1e-11)
    np.testing.assert_allclose(sums.gate_score[columns], score, atol=1e-8 * N)
    np.testing.assert_allclose(sums.moments, moments, atol=1e-8 * N)
    np.testing.assert_allclose(sums.gate_information, of_pairs(columns, pairs, columns.size), atol=1e-8 * N)
    times, seconds, _ = fastest(lambda: c.problem.passes.em(c.theta), by_hand, rounds=15)
    report("EM pass: generic / fused", d, K, times, "<= 1.25", seconds / N / K)
    assert times <= 1.25


@pytest.mark.parametrize(("d", "K"), CASES)
def test_hessian_pass_against_fused(case, d, K):
    """The generic Hessian pass takes at most twice as long as the hand-fused one."""
    c = case(d, K)
    X, Y, W = c.tiles()

    def by_hand():
        blocks = np.zeros((3 * K, 3 * K, d + 1, d + 1))
        fused.hessian(X, Y, W, c.gate, c.coef, c.log_variance, blocks)
        return blocks

    terms = c.problem.passes.terms
    order = np.concatenate(
        [terms.gate_columns.ravel(), terms.expert_columns[:, :-1].ravel(), terms.expert_columns[:, -1]]
    )
    hessian = c.problem.passes.hessian(c.theta).hessian
    padding = W.size - N  # the hand-written kernel takes unit weights: it counts the padding rows
    np.testing.assert_allclose(
        fused.assemble(by_hand(), K, d + 1), hessian[np.ix_(order, order)], atol=1e-8 * N + 100 * padding
    )
    times, seconds, _ = ratio(lambda: c.problem.passes.hessian(c.theta), by_hand, rounds=7, clock=process_time)
    report("Hessian pass: generic / fused", d, K, times, "<= 2", seconds / N / K)
    assert times <= 2
