"""The normal tail and its density against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from moestat.kernels import jit
from moestat.kernels.tail import BEND, POWERS, STRETCH, bell, tail_ratio

#: exp and a dozen roundings, each of half a unit of 2.2e-16.
TOLERANCE = 1.2e-15

GRID = np.unique(np.concatenate([[0.0], np.geomspace(1e-300, 1e-3, 50), np.linspace(1e-3, 37.6, 3000)]))


@jit
def evaluate(x, top, ratio):
    for j in range(x.size):
        top[j] = bell(x[j])
        ratio[j] = tail_ratio(abs(x[j]))


def evaluated(x):
    top, ratio = np.empty_like(x), np.empty_like(x)
    evaluate(x, top, ratio)
    return top, ratio


def worst(found, exact):
    with mpmath.workdps(40):
        return max(abs(float(mpmath.mpf(f) / e - 1)) for f, e in zip(found.tolist(), exact, strict=True))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_against_mpmath(sign):
    top, ratio = evaluated(sign * GRID)
    with mpmath.workdps(40):
        density = [mpmath.exp(-(mpmath.mpf(x) ** 2) / 2) for x in GRID.tolist()]
        mass = [mpmath.ncdf(-mpmath.mpf(x)) for x in GRID.tolist()]
        ratios = [m / d for m, d in zip(mass, density, strict=True)]
    assert worst(top, density) < TOLERANCE
    assert worst(ratio, ratios) < TOLERANCE
    assert worst(top * ratio, mass) < TOLERANCE


def test_far_out_and_not_a_number():
    top, ratio = evaluated(np.array([38.0, 1e10, -1e10, np.nan]))
    assert top[:3].tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(ratio[:3]).all()
    assert np.isnan([top[3], ratio[3]]).all()


def test_coefficients_are_those_of_the_interpolation():
    """Their rounding apart: the polynomial reproduces what it interpolates where it does."""
    n = len(POWERS)
    with mpmath.workdps(40):
        for j in range(n):
            s = mpmath.cos(mpmath.pi * (2 * j + 1) / (2 * n))
            r = (s + 1) / mpmath.mpf(STRETCH)
            x = BEND * r / (1 - r)
            exact = (1 + mpmath.sqrt(2) * x) * mpmath.exp(x * x / 2) * mpmath.ncdf(-x)
            assert abs(mpmath.fsum(p * s**i for i, p in enumerate(POWERS)) - exact) < 1e-16
