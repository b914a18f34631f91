"""Three experts for rows of two: the maxima lie on ridges, where ascents creep and stop early."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import moestat as ms

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::moestat.errors.ConvergenceWarning")]

N_SETS, N = 40, 1000


@cache
def rows(seed):
    """One data set of the benchmark of arXiv 2305.03288: two lines behind a steep gate."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=N)
    first = rng.random(N) < 1 / (1 + np.exp(-(-8 + 25 * x)))
    return x, np.where(first, rng.normal(15 - 20 * x, 0.3), rng.normal(-5 + 20 * x, 0.4))


@cache
def fitted(seed):
    """From the default starts; where the best of them leads to infinity, a warning says so."""
    return ms.fit(ms.MixtureOfExperts(n_experts=3), *rows(seed))


def unfinished(status):
    return status in (ms.Status.NOT_CONVERGED, ms.Status.SADDLE)


@pytest.mark.parametrize("seed", range(N_SETS))
def test_every_fit_ends_certified(seed):
    """With a gradient of zero, and no direction that leads up: all forty, not nearly all."""
    certificate = fitted(seed).certificate
    assert not unfinished(certificate.status)
    assert certificate.grad_norm <= 1e-8


@pytest.mark.parametrize("seed", range(N_SETS))
def test_no_start_is_left_on_the_way(seed):
    """Also those that do not win end somewhere."""
    ends = set(fitted(seed).starts.status)
    assert not ends & {status.value for status in ms.Status if unfinished(status)}


@pytest.mark.parametrize("seed", range(N_SETS))
def test_a_third_expert_never_costs_likelihood(seed):
    """The model with two is nested in it: a third line may take few rows, but takes them at a gain."""
    two = ms.fit(ms.MixtureOfExperts(n_experts=2), *rows(seed), n_starts=3)
    assert fitted(seed).llf > two.llf
