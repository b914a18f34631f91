"""A fit keeps nothing that grows with rows times experts."""

from __future__ import annotations

import tracemalloc
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.threads import limit

N, K = 200_000, 4

#: Beyond the data; one array of (N, K) numbers has 6.4 million bytes, the sketch for the starts and the tiles 1.7.
BOUND = 4_000_000

#: Beyond that, what every further thread may hold in tiles; less than half an array of (N, K).
OF_A_THREAD = 2_000_000


def peak(function):
    """Most bytes held at once beyond those before the call; NumPy reports its arrays."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@cache
def data(n):
    """Rows of four well separated lines, ready for a fit."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    k = rng.integers(K, size=n)
    y = 3.0 * k + (1.0 + k) * X[:, 0] + 0.5 * rng.standard_normal(n)
    return model().data(X, y)


def model():
    return ms.MixtureOfExperts(n_experts=K)


@pytest.fixture(params=[1, 2])
def threads(request):
    """Every thread has tiles of its own."""
    with limit(request.param):
        yield request.param


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Compilation allocates as well; let it be over."""
    return ms.fit(model(), data(1000), n_starts=1).bse


@pytest.fixture
def results():
    return ms.fit(model(), data(N), n_starts=1)


def test_a_fit_allocates_no_array_of_rows_by_experts(threads):
    prepared = data(N)
    assert peak(lambda: ms.fit(model(), prepared, n_starts=1)) < BOUND + (threads - 1) * OF_A_THREAD


def test_standard_errors_allocate_no_array_of_rows(results, threads):
    assert peak(lambda: results.bse) < BOUND + (threads - 1) * OF_A_THREAD


def test_a_check_allocates_no_array_of_rows(results, threads):
    assert peak(results.check) < BOUND + (threads - 1) * OF_A_THREAD


def test_the_bound_sees_one_array_of_rows_by_experts(results):
    """Responsibilities are such an array."""
    assert peak(results.responsibilities) > BOUND


def test_the_bound_sees_an_array_that_is_never_filled():
    assert peak(lambda: np.empty((N, K))) > BOUND
