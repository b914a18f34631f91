"""Vectorised exponential and logarithm against 40 digits, and at the edges of their domains."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from moestat.kernels import jit, vexp, vlog
from moestat.kernels.vmath import vexpm1
from tests.unit.kernels.twins import EPS

RELATIVE_ERROR = 4.5e-16  # two units in the last place, as the kernels promise


@jit
def _vexp_loop(x, out):
    for j in range(x.size):
        out[j] = vexp(x[j])


@jit
def _vlog_loop(x, out):
    for j in range(x.size):
        out[j] = vlog(x[j])


def _in_loop(loop):
    def evaluate(x):
        out = np.empty_like(x)
        loop(x, out)
        return out

    return evaluate


def _one_by_one(function):
    return lambda x: np.array([function(v) for v in x])


EXP = [pytest.param(_in_loop(_vexp_loop), id="loop"), pytest.param(_one_by_one(vexp), id="scalar")]
LOG = [pytest.param(_in_loop(_vlog_loop), id="loop"), pytest.param(_one_by_one(vlog), id="scalar")]


def worst_relative_error(got, function, x):
    with mpmath.workdps(40):
        exact = [function(mpmath.mpf(v)) for v in x.tolist()]
        return max(float(abs((g - e) / e)) for g, e in zip(got.tolist(), exact, strict=True))


@pytest.mark.parametrize("evaluate", EXP)
def test_exponential_is_accurate_over_its_whole_range(evaluate):
    """Relative error over [-708, 709], near zero, and next to the ends of the reduced interval."""
    rng = np.random.default_rng(0)
    halves = np.arange(-2041, 2045) * (np.log(2) / 2)  # where the rounding to a power of two switches
    x = np.concatenate(
        [
            np.linspace(-708.0, 709.0, 4001),
            rng.normal(size=2000),
            rng.choice([-1, 1], 500) * np.exp(rng.uniform(-700, 0, 500)),
            halves,
            np.nextafter(halves, np.inf),
        ]
    )
    assert worst_relative_error(evaluate(x), mpmath.exp, x) <= RELATIVE_ERROR


@pytest.mark.parametrize("evaluate", EXP)
def test_exponential_of_zero_is_exactly_one(evaluate):
    assert (evaluate(np.array([0.0, -0.0])) == 1.0).all()


@pytest.mark.parametrize("evaluate", EXP)
def test_exponential_is_exactly_zero_below_minus_708(evaluate):
    """A switched-off expert gets weight zero, not a tiny number."""
    x = np.array([np.nextafter(-708.0, -np.inf), -708.5, -745.0, -1e4, -1e300, -np.inf])
    assert (evaluate(x) == 0.0).all()


@pytest.mark.parametrize("evaluate", EXP)
def test_exponential_is_capped_at_709(evaluate):
    """Beyond the largest argument the value stays finite, so that no infinity enters a sum."""
    x = np.array([np.nextafter(709.0, np.inf), 710.0, 1e4, 1e300, np.inf])
    np.testing.assert_allclose(evaluate(x), np.exp(709.0), rtol=RELATIVE_ERROR + EPS)


@pytest.mark.parametrize("evaluate", EXP)
def test_exponential_passes_nan_on(evaluate):
    assert np.isnan(evaluate(np.full(9, np.nan))).all()


@pytest.mark.parametrize("evaluate", LOG)
def test_logarithm_is_accurate_over_all_normal_numbers(evaluate):
    """Relative error from the smallest to the largest normal number, and near one, where it vanishes."""
    rng = np.random.default_rng(0)
    limits = np.finfo(np.float64)
    near_one = 2.0 ** -np.arange(1, 53)
    powers = 2.0 ** np.arange(-1022, 1024)
    x = np.concatenate(
        [
            [limits.tiny, limits.max],
            rng.uniform(0.5, 2.0, 2000),
            powers[powers != 1.0],  # the logarithm of one is zero, where an error is not relative
            powers * rng.uniform(1.0, 2.0, powers.size),
            1.0 + near_one,
            1.0 - near_one,
        ]
    )
    assert worst_relative_error(evaluate(x), mpmath.log, x) <= RELATIVE_ERROR


@pytest.mark.parametrize("evaluate", LOG)
def test_logarithm_of_one_is_exactly_zero(evaluate):
    assert (evaluate(np.ones(9)) == 0.0).all()


@pytest.mark.parametrize("evaluate", LOG)
def test_logarithm_passes_nan_on(evaluate):
    """A NaN that became a number here would be taken for a log-likelihood."""
    assert np.isnan(evaluate(np.full(9, np.nan))).all()


def test_exponential_minus_one_keeps_its_digits_near_zero_and_far_out():
    x = -np.concatenate([[1e-300, 1e-18, 1e-9], np.geomspace(1e-6, 800.0, 4001)])
    with mpmath.workdps(40):
        exact = np.array([float(mpmath.expm1(mpmath.mpf(one))) for one in x])
    got = np.array([vexpm1(one) for one in x])
    np.testing.assert_allclose(got, exact, rtol=6e-16)
    assert vexpm1(0.0) == 0.0
    assert vexpm1(-1e4) == -1.0
    assert np.isnan(vexpm1(np.nan))
