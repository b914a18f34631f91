"""Three experts for rows of two: the maxima lie on ridges, where ascents creep and stop early."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest

import moestat as ms
from simulations.solver.cases import benchmark_rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::moestat.errors.ConvergenceWarning")]

#: two hundred data sets: number of rows, seed
SETS = list(product((1_000, 10_000), range(100)))

unfinished = (ms.Status.NOT_CONVERGED, ms.Status.SADDLE)


@cache
def fitted(n, seed):
    """From the default starts; where the best of them leads to infinity, a warning says so."""
    return ms.fit(ms.MixtureOfExperts(n_experts=3), *benchmark_rows(seed, n))


@pytest.mark.parametrize(("n", "seed"), SETS)
def test_every_fit_ends_certified(n, seed):
    """With a gradient of zero, and no direction that leads up: all two hundred, not nearly all."""
    optimum = fitted(n, seed).certificate.optimum
    assert optimum.status not in unfinished
    assert optimum.fine_gradient <= 1e-8


@pytest.mark.parametrize(("n", "seed"), SETS)
def test_no_finished_start_is_left_on_the_way(n, seed):
    """Also those that do not win end somewhere."""
    assert not set(fitted(n, seed).starts.status) & {status.value for status in unfinished}


@pytest.mark.parametrize("seed", range(40))
def test_a_third_expert_never_costs_likelihood(seed):
    """The model with two is nested in it: a third line may take few rows, but takes them at a gain."""
    two = ms.fit(ms.MixtureOfExperts(n_experts=2), *benchmark_rows(seed, 1_000), n_starts=3)
    assert fitted(1_000, seed).llf > two.llf


@pytest.mark.parametrize("seed", range(40))
def test_in_a_compact_space_every_fit_ends_at_a_strict_maximum(seed):
    """The box of the theory leaves no room for spikes and no way to infinity."""
    box = {"gate.slopes": 200.0, "gate.intercepts": 100.0, "expert.variances": (0.01, 4.0)}
    results = ms.fit(ms.MixtureOfExperts(n_experts=3), *benchmark_rows(seed, 1_000), bounds=box)
    assert results.certificate.status in (ms.Status.STRICT_MAXIMUM, ms.Status.AT_BOUND)
    assert results.certificate.trusted
