"""Least squares of a scaled activation: noiseless curves are found, rows without weight have no say."""

from __future__ import annotations

import numpy as np
import pytest

from moestat.activations import ACTIVATIONS
from moestat.data import Block
from moestat.experts import Gaussian
from moestat.experts.bends import curve, fit_bend

FORMS = ("tanh", "sigmoid", "gelu", "relu", "softplus", "arctan")


def rows(n=200, seed=0):
    return np.vstack([np.ones(n), np.random.default_rng(seed).standard_normal((2, n))])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("coef", [[0.3, 1.5, -1.0, 2.0], [-0.8, 0.6, 1.2, -1.5]])
def test_a_curve_without_noise_is_found(form, coef):
    X, kind = rows(), ACTIVATIONS[form]
    y = curve(kind, np.array(coef), X)
    found, rss = fit_bend(kind, X, y, np.ones(y.size))
    assert np.isclose(rss, np.sum((y - curve(kind, found, X)) ** 2), rtol=1e-9, atol=1e-12)
    assert rss < 1e-3 * y.size * np.var(y)


def test_rows_without_weight_have_no_say():
    X, kind = rows(), ACTIVATIONS["tanh"]
    y = curve(kind, np.array([0.3, 1.5, -1.0, 2.0]), X)
    weight = np.repeat([1.0, 0.0], 100)
    spoilt = np.where(weight > 0, y, 1e6)
    for one, other in zip(fit_bend(kind, X, y, weight), fit_bend(kind, X, spoilt, weight), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", ["linear", "polynomial", *FORMS])
def test_a_share_without_rows_leaves_everything(form):
    X = rows(50)
    sketch = Block(X, X, X[1:2] ** 2, np.zeros(50), np.ones(50))
    share = np.vstack([np.ones(50), np.zeros(50)])
    left = Gaussian(form=form).start_residuals(sketch, share)
    assert np.isfinite(left[0]).all()
    assert np.isposinf(left[1]).all()
