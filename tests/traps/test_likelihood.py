"""The log-likelihood where doubles run out: against fifty digits, and never falling under EM."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

import moestat as ms
from moestat.solvers import EM, solve
from tests.unit.ascents import STEPS, a_problem, anywhere

#: what double precision may lose of a log-likelihood
ROUNDING = 1e-13


# ------------------------------------------------------------------------------------ fifty digits
def exactly(number) -> mp.mpf:
    return mp.mpf(float(number))


def predictor(intercept, slopes, row) -> mp.mpf:
    return exactly(intercept) + mp.fdot(zip(map(exactly, slopes), map(exactly, row), strict=True))


def log_sum_exp(terms) -> mp.mpf:
    top = max(terms)
    return top + mp.log(mp.fsum(mp.exp(term - top) for term in terms))


def loglik_in_fifty_digits(params, X, y) -> mp.mpf:
    gate, expert = params.gate, params.expert
    with mp.workdps(50):
        total = mp.mpf(0)
        for row, response in zip(X, y, strict=True):
            logits = [predictor(*line, row) for line in zip(gate.intercepts, gate.slopes, strict=True)]
            terms = []
            for logit, intercept, slopes, variance in zip(
                logits, expert.intercepts, expert.slopes, expert.variances, strict=True
            ):
                v = exactly(variance)
                square = (exactly(response) - predictor(intercept, slopes, row)) ** 2 / v
                terms.append(logit - (mp.log(2 * mp.pi * v) + square) / 2)
            total += log_sum_exp(terms) - log_sum_exp(logits)
        return total


def rows_and_params(seed, n_experts, size=1.0, n=20):
    """Rows in the unit square, and parameters whose gate has coefficients of this size.

    Covariates and gate have few digits, so that no logit is rounded: large ones that cancel would leave little.
    """
    rng = np.random.default_rng(seed)
    K = n_experts
    gate = {
        "slopes": np.round(64 * size * rng.uniform(-1, 1, (K, 2))) / 64,
        "intercepts": np.round(64 * size * rng.uniform(-1, 1, K)) / 64,
    }
    expert = {
        "slopes": rng.standard_normal((K, 2)),
        "intercepts": rng.standard_normal(K),
        "variances": rng.uniform(0.1, 1.0, K),
    }
    return np.round(256 * rng.uniform(-1, 1, (n, 2))) / 256, rng.standard_normal(n), gate, expert


def assert_equals_fifty_digits(model, params, X, y):
    exact = loglik_in_fifty_digits(params, X, y)
    assert abs(exactly(model.loglik(params, X, y)) - exact) <= ROUNDING * abs(exact)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_experts", [2, 3])
@pytest.mark.parametrize("size", [1.0, 36.0, 350.0, 700.0, 1e4])
def test_logits_of_any_size(size, n_experts, seed):
    """exp(710) overflows and exp(-746) is zero: a softmax without care loses rows, or returns NaN."""
    model = ms.MixtureOfExperts(n_experts=n_experts)
    X, y, gate, expert = rows_and_params(seed, n_experts, size)
    assert_equals_fifty_digits(model, model.params(gate=gate, expert=expert), X, y)


@pytest.mark.parametrize("distance", [40.0, 1e3, 1e6])
def test_rows_that_no_expert_explains(distance):
    """Densities of exp(-5e11): their sum over experts underflows, its logarithm does not."""
    model = ms.MixtureOfExperts(n_experts=3)
    X, y, gate, expert = rows_and_params(5, 3)
    y[::3] += distance
    assert_equals_fifty_digits(model, model.params(gate=gate, expert=expert), X, y)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scale", [1e-150, 1e-80, 1e80, 1e149])
def test_responses_of_any_size(scale, seed):
    """Squares of 1e-150 and 1e149 are at the ends of double precision."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y, gate, expert = rows_and_params(seed, 2)
    unit = {"slopes": scale, "intercepts": scale, "variances": scale * scale}
    expert = {name: unit[name] * value for name, value in expert.items()}
    assert_equals_fifty_digits(model, model.params(gate=gate, expert=expert), X, scale * y)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_covariates_of_any_size(scale):
    """Slopes of 1e150 on covariates of 1e-150, and the other way round."""
    model = ms.MixtureOfExperts(n_experts=2)
    X, y, gate, expert = rows_and_params(7, 2)
    params = model.params(
        gate=gate | {"slopes": gate["slopes"] / scale}, expert=expert | {"slopes": expert["slopes"] / scale}
    )
    assert_equals_fifty_digits(model, params, scale * X, y)


# ------------------------------------------------------------------------------------ EM ascends
#: 1000 random fits; ten times as many with the slow ones
CHUNK, CHUNKS, SLOW_CHUNKS = 125, 8, 80


def assert_em_never_falls(seeds, steps=10):
    for seed in seeds:
        problem = a_problem(seed)
        solver = EM(max_iter=steps, **STEPS, m_step="exact" if seed % 8 == 0 else "newton")
        solution = solve(problem, solver, anywhere(problem, seed))
        climbed = np.array([row.climbed for row in solution.trace])
        assert np.isfinite(climbed).all()
        assert (np.diff(climbed) >= -1e-12 * np.abs(climbed[1:])).all(), seed


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_em_never_lowers_the_log_likelihood(chunk):
    """Weights, held fields, common variances, classes and mixed families; the M-step damped or exact."""
    assert_em_never_falls(range(CHUNK * chunk, CHUNK * (chunk + 1)))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS, SLOW_CHUNKS))
def test_em_never_lowers_the_log_likelihood_in_many_fits(chunk):
    """The same from other random fits: ten thousand in all."""
    assert_em_never_falls(range(CHUNK * chunk, CHUNK * (chunk + 1)), steps=40)
