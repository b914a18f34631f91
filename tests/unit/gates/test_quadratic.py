"""Quadratic gates: a softmax gate of squares and products."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError, RankDeficientWarning
from moestat.gates import Quadratic
from tests.unit.draws import normal


def rows(n=300):
    X = normal(n, 2, seed=1)
    inside = normal(n, seed=2) < 1.0 - (X**2).sum(axis=1)
    return X, np.where(inside, 1 + X[:, 0], -1 - X[:, 1]) + 0.3 * normal(n, seed=3)


def expanded(X, linear):
    products = [(1 if u == v else 2) * X[:, u] * X[:, v] for u in range(X.shape[1]) for v in range(u + 1)]
    return np.column_stack([X, *products] if linear else products)


def fit(gate, *data):
    return ms.fit(ms.MixtureOfExperts(gate=gate), *data, n_starts=4)


@pytest.mark.parametrize("linear", [True, False])
def test_it_is_the_softmax_gate_of_squares_and_products(linear):
    X, y = rows()
    ours, plain = fit(Quadratic(linear=linear), X, y), fit("softmax", X, y, expanded(X, linear))
    assert ours.llf == pytest.approx(plain.llf, abs=1e-8)
    first = ours.params.gate
    coefficients = np.column_stack([first.slopes, first.quadratic]) if linear else first.quadratic
    np.testing.assert_allclose(coefficients, plain.params.gate.slopes, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.sort(ours.bse), np.sort(plain.bse), rtol=1e-4)


def test_entries_are_named_by_their_pair():
    names = ms.MixtureOfExperts(gate="quadratic").names(ms.MixtureOfExperts().data(*rows()).schema)
    assert names[6:9] == ["gate[1].x1^2", "gate[1].x1:x2", "gate[1].x2^2"]


def test_a_polynomial_gate_moves_with_its_covariates():
    """Years instead of standardised ones: the same likelihood, the same weights."""
    X, y = rows()
    here, there = fit("quadratic", X, y), fit("quadratic", 1950 + 25 * X, y)
    assert there.llf == pytest.approx(here.llf, abs=1e-7)
    np.testing.assert_allclose(there.gate_weights(1950 + 25 * X), here.gate_weights(X), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1e6])
def test_a_monomial_gate_follows_a_scale(scale):
    X, y = rows()
    here, there = fit(Quadratic(linear=False), X, y), fit(Quadratic(linear=False), scale * X, y)
    assert there.llf == pytest.approx(here.llf, abs=1e-7)
    np.testing.assert_allclose(there.params.gate.quadratic * scale**2, here.params.gate.quadratic, rtol=1e-4)


@pytest.mark.parametrize("linear", [True, False])
def test_related_covariates_leave_products_open(linear):
    """x3 = x1 + x2: not one slope but every product with the relation is set aside, and the fit is that without x3."""
    X, y = rows()
    related = np.column_stack([X, X.sum(axis=1)])
    with pytest.warns(RankDeficientWarning, match=r"x3 = x1 \+ x2"):
        both = fit(Quadratic(linear=linear), related, y)
    assert both.certificate.status is ms.Status.STRICT_MAXIMUM
    assert both.llf == pytest.approx(fit(Quadratic(linear=linear), X, y).llf, abs=1e-6)


def test_parameters_tell_the_number_of_covariates():
    """Also where pairs alone can."""
    model = ms.MixtureOfExperts(gate="quadratic(linear=False)")
    expert = {"intercepts": [0.0, 1.0], "slopes": np.zeros((2, 3)), "variances": [1.0, 1.0]}
    params = model.params(gate={"intercepts": [0.0, 0.0], "quadratic": np.zeros((2, 6))}, expert=expert)
    assert model.gate_weights(params, np.ones((4, 3))).shape == (4, 2)
    with pytest.raises(InputError, match=r"quadratic must have shape \(2, 6\)"):
        model.params(gate={"intercepts": [0.0, 0.0], "quadratic": np.zeros((2, 7))}, expert=expert)


@pytest.mark.parametrize("bad", [1, "no", None])
def test_linear_is_true_or_false(bad):
    with pytest.raises(InputError, match="linear must be True"):
        Quadratic(linear=bad)
