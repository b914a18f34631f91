"""Time to a certified maximum, against vectorised NumPy EM run to the same maximum from the same start."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

import moestat as ms
from moestat.certificate import examine
from moestat.model import log_jacobian
from moestat.solvers import EMThenNewton, Problem, solve
from simulations.solver.cases import benchmark_rows
from tests.benchmarks import numpy_em
from tests.benchmarks.timing import ratio

N = 10_000

#: NumPy EM ends when no parameter moves by more than this, or after so many iterations.
STILL = 1e-9
MOST = 5_000


def numpy_to_the_end(F, y, gate, coef, variance):
    """Parameters and number of iterations."""
    moved, count = np.inf, 0
    while moved > STILL and count < MOST:
        new = numpy_em.iteration(F, y, gate, coef, variance)
        moved = max(np.abs(a - b).max() for a, b in zip(new, (gate, coef, variance), strict=True))
        gate, coef, variance = new
        count += 1
    return gate, coef, variance, count


@pytest.mark.parametrize(("overlap", "least"), [(1.0, 3.0), (6.0, 30.0)], ids=["clear", "overlapping"])
def test_time_to_a_certified_maximum(overlap, least):
    """Both from the same start to the same maximum; ours with the certificate, by the solver and by the front door."""
    x, y = benchmark_rows(0, N)
    y = y + (overlap - 1.0) * np.random.default_rng(1).standard_normal(N)
    model = ms.MixtureOfExperts(n_experts=2)
    problem = Problem.of(model, model.prepare(model.data(x, y)))
    source = problem.passes.source
    F = np.column_stack([np.ones(N), x])
    start = (
        np.array([[-2.0, 6.0], [0.0, 0.0]]),
        np.array([[12.0, -15.0], [-3.0, 15.0]]),
        np.array([1.0, 1.0]) * overlap**2,
    )
    gate, coef, variance = start
    params = model.params(
        gate={"intercepts": gate[:, 0], "slopes": gate[:, 1:]},
        expert={"intercepts": coef[:, 0], "slopes": coef[:, 1:], "variances": variance},
    )
    theta = model.to_theta(params, source.schema, source.coordinates)
    names = model.names(source.schema)

    def ours():
        return examine(problem, solve(problem, EMThenNewton(), theta).theta, names, log_jacobian(source))[0]

    *ends, count = numpy_to_the_end(F, y, *start)
    assert ours().loglik == pytest.approx(numpy_em.e_step(F, y, *ends)[1], rel=1e-10)
    assert ours().status is ms.Status.STRICT_MAXIMUM
    solver, theirs, seconds = ratio(lambda: numpy_to_the_end(F, y, *start), ours)
    door, _, fit_seconds = ratio(lambda: numpy_to_the_end(F, y, *start), lambda: ms.fit(model, x, y, n_starts=1))
    print(
        f"\ntime to a certified maximum, n={N}, K=2, overlap {overlap:g}: NumPy EM {1e3 * theirs:.1f} ms "
        f"({count} iterations), solver and certificate {1e3 * seconds:.1f} ms (ratio {solver:.1f}), "
        f"ms.fit(n_starts=1) {1e3 * fit_seconds:.1f} ms (ratio {door:.1f})"
    )
    assert solver > least


def test_a_million_rows_from_default_starts():
    """Five covariates, four experts, twenty starts: within a minute, the certificate included."""
    n, d, K = 1_000_000, 5, 4
    rng = np.random.default_rng(0)
    model = ms.MixtureOfExperts(n_experts=K)
    gate = {"slopes": rng.standard_normal((K, d)), "intercepts": rng.standard_normal(K)}
    lines = {"slopes": 2 * rng.standard_normal((K, d)), "intercepts": rng.standard_normal(K)}
    truth = model.params(gate=gate, expert=lines | {"variances": [0.2, 0.5, 1.0, 0.3]})
    X = rng.standard_normal((n, d))
    y = model.sample(truth, X, rng)
    ms.fit(model, X[:2000], y[:2000], n_starts=2)  # compiled
    began = perf_counter()
    results = ms.fit(model, X, y)
    seconds = perf_counter() - began
    print(f"\n1e6 rows, d=5, K=4, default starts: {seconds:.1f} s, {results.certificate.status.value}")
    assert results.certificate.trusted
    assert seconds < 60.0
