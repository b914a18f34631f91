"""Single calls, timed by pytest-benchmark, for comparison from one change to the next.

``make bench ARGS="-k calls --benchmark-autosave"`` saves a run in the folder .benchmarks, and
``.venv/bin/pytest-benchmark compare`` puts saved runs side by side.
"""

from __future__ import annotations

import pytest

import moestat as ms
from simulations.solver.cases import benchmark_rows
from tests.benchmarks.case import Case

N = 20_000


@pytest.fixture(scope="module")
def passes():
    case = Case(5, 4, N)
    return case.problem.passes, case.theta


@pytest.mark.parametrize("name", ["loglik", "score", "em", "hessian", "outer_products"])
def test_pass(benchmark, passes, name):
    source, theta = passes
    benchmark.group = f"passes, n={N}, d=5, K=4"
    benchmark(getattr(source, name), theta)


@pytest.mark.parametrize("n", [100, 1000, 10_000])
def test_fit_from_one_start(benchmark, n):
    x, y = benchmark_rows(0, n)
    benchmark.group = "a fit from one start"
    results = benchmark(ms.fit, ms.MixtureOfExperts(n_experts=2), x, y, n_starts=1)
    assert results.certificate.trusted


def test_predictions(benchmark):
    x, y = benchmark_rows(0, 10_000)
    results = ms.fit(ms.MixtureOfExperts(n_experts=2), x, y, n_starts=1)
    benchmark.group = "predictions of 10,000 rows"
    assert benchmark(results.predict, x).shape == y.shape


def test_summary(benchmark):
    """Standard errors and table; results keep what they have computed, so each round has its own."""
    x, y = benchmark_rows(0, 1000)
    benchmark.group = "a summary"

    def fitted():
        return (ms.fit(ms.MixtureOfExperts(n_experts=2), x, y, n_starts=1),), {}

    benchmark.pedantic(lambda results: str(results.summary()), setup=fitted, rounds=10)
