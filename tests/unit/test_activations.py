"""Named activations against 40 digits, at kinks, far out, and by name."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from moestat.activations import ACTIVATIONS, activation_named
from moestat.errors import InputError
from moestat.kernels.activations import activate, differentiate

#: A few units in the last place of the largest term.
TOLERANCE = 4e-15


def _sign(z):
    return mpmath.sign(z)


#: Value, slope and curvature away from kinks, written for any precision.
EXACT = {
    "identity": (lambda z: z, lambda z: 1, lambda z: 0),
    "tanh": (mpmath.tanh, lambda z: mpmath.sech(z) ** 2, lambda z: -2 * mpmath.tanh(z) * mpmath.sech(z) ** 2),
    "sigmoid": (
        lambda z: 1 / (1 + mpmath.exp(-z)),
        lambda z: mpmath.sech(z / 2) ** 2 / 4,
        lambda z: -mpmath.tanh(z / 2) * mpmath.sech(z / 2) ** 2 / 4,
    ),
    "softplus": (
        lambda z: mpmath.log1p(mpmath.exp(z)),
        lambda z: 1 / (1 + mpmath.exp(-z)),
        lambda z: mpmath.sech(z / 2) ** 2 / 4,
    ),
    "relu": (lambda z: max(z, mpmath.mpf(0)), lambda z: int(z > 0), lambda z: 0),
    "sin": (mpmath.sin, mpmath.cos, lambda z: -mpmath.sin(z)),
    "cos": (mpmath.cos, lambda z: -mpmath.sin(z), lambda z: -mpmath.cos(z)),
    "arctan": (mpmath.atan, lambda z: 1 / (1 + z**2), lambda z: -2 * z / (1 + z**2) ** 2),
    "softsign": (
        lambda z: z / (1 + abs(z)),
        lambda z: 1 / (1 + abs(z)) ** 2,
        lambda z: -2 * _sign(z) / (1 + abs(z)) ** 3,
    ),
}


def differentiated(function):
    """Value, slope and curvature of a function by numerical differentiation in high precision."""
    return function, lambda z: mpmath.diff(function, z), lambda z: mpmath.diff(function, z, 2)


EXACT["silu"] = differentiated(lambda z: z / (1 + mpmath.exp(-z)))
EXACT["gelu"] = differentiated(lambda z: z * mpmath.ncdf(z))

POINTS = np.concatenate([np.linspace(-12, 12, 97), [1e-9, -1e-9, 3e-3, -3e-3, 0.17, -0.17, 0.171, -36.0, 36.0]])


def parts(activation, z):
    return activation.value(z), activation.slope(z), activation.curvature(z)


def test_every_name_is_checked():
    assert set(EXACT) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivatives_agree_with_forty_digits(name):
    z = POINTS[POINTS != 0]
    with mpmath.workdps(40):
        exact = np.array([[float(f(mpmath.mpf(x))) for x in z] for f in EXACT[name]])
    scale = 1 + np.abs(z) * (np.abs(exact[0]) > 1)
    for got, want in zip(parts(ACTIVATIONS[name], z), exact, strict=True):
        np.testing.assert_array_less(np.abs(got - want), TOLERANCE * scale)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_and_curvature_are_derivatives_of_the_value(name):
    """Whatever the closed forms in this file say: differences of value and slope agree, at both sides of zero."""
    activation, h = ACTIVATIONS[name], 1e-5
    z = POINTS[np.abs(POINTS) > 2 * h]
    for lower, upper in ((activation.value, activation.slope), (activation.slope, activation.curvature)):
        np.testing.assert_allclose((lower(z + h) - lower(z - h)) / (2 * h), upper(z), atol=1e-8)


@pytest.mark.parametrize("name", ["tanh", "sin", "arctan", "softsign"])
def test_small_arguments_keep_their_digits(name):
    """Near zero these are z + O(z^3), or O(z^2): relative error, not absolute."""
    z = np.array([1e-300, 1e-30, 1e-10])
    np.testing.assert_allclose(ACTIVATIONS[name].value(z), z, rtol=2e-10 if name == "softsign" else 1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_ends_of_the_line_are_finite(name):
    z = np.array([-1e4, -750.0, 750.0, 1e4])
    assert all(np.isfinite(part).all() for part in parts(ACTIVATIONS[name], z))
    if ACTIVATIONS[name].bounded:
        assert (np.abs(ACTIVATIONS[name].value(z)) <= np.pi / 2).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_stays_nan(name):
    assert np.isnan(ACTIVATIONS[name].value(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("name", "at_zero"), [("relu", (0.0, 0.0, 0.0)), ("softsign", (0.0, 1.0, 0.0)), ("tanh", (0.0, 1.0, 0.0))]
)
def test_derivatives_at_zero_are_the_stated_ones(name, at_zero):
    assert tuple(float(part) for part in parts(ACTIVATIONS[name], np.array(0.0))) == at_zero


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_homogeneous_means_that_positive_factors_pass_through(name):
    a = ACTIVATIONS[name]
    same = np.allclose(a.value(3.0 * POINTS), 3.0 * a.value(POINTS))
    assert same == a.homogeneous


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_kernels_agree_with_each_other_also_in_place(name):
    code = ACTIVATIONS[name].code
    alone, value, slope, curvature = np.empty((4, POINTS.size))
    activate(code, POINTS, alone)
    differentiate(code, POINTS, value, slope, curvature)
    in_place = POINTS.copy()
    activate(code, in_place, in_place)
    np.testing.assert_allclose(alone, value, rtol=1e-15, atol=1e-16)
    np.testing.assert_array_equal(alone, in_place)


def test_shape_is_kept():
    assert ACTIVATIONS["tanh"].value(np.zeros((2, 3))[:, ::2]).shape == (2, 2)


@pytest.mark.parametrize("bad", ["tahn", "Tanh", "step", None, 3])
def test_unknown_names_are_refused_with_the_list(bad):
    with pytest.raises(InputError, match=r"transform must be one of \['identity', 'tanh'.*got") as error:
        activation_named(bad, "transform")
    assert ("Did you mean 'tanh'" in str(error.value)) == (bad in ("tahn", "Tanh"))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_odd_activations_are_odd_about_a_value(name):
    """a(z) + a(-z) is twice that value everywhere, or is not constant."""
    activation = ACTIVATIONS[name]
    both = activation.value(POINTS) + activation.value(-POINTS)
    if activation.odd_about is None:
        assert np.ptp(both) > 0.1
    else:
        np.testing.assert_allclose(both, 2 * activation.odd_about, atol=TOLERANCE)
