"""Normalised sigmoid gate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

import moestat as ms
from tests.unit.draws import normal


def weights(Z, b, c):
    K, d = b.shape
    model = ms.MixtureOfExperts(gate="sigmoid", n_experts=K)
    expert = {"intercepts": np.zeros(K), "slopes": np.zeros((K, d)), "variances": np.ones(K)}
    return model.gate_weights(model.params(gate={"slopes": b, "intercepts": c}, expert=expert), Z)


def test_weights_are_shares_of_sigmoids():
    Z, b, c = normal(50, 2, seed=1), normal(3, 2, seed=2), normal(3, seed=3)
    on = expit(Z @ b.T + c)
    np.testing.assert_allclose(weights(Z, b, c), on / on.sum(axis=1, keepdims=True), rtol=1e-13)


def test_far_below_zero_it_is_the_softmax_gate():
    Z, b, c = normal(50, 2, seed=1), normal(3, 2, seed=2), normal(3, seed=3)
    np.testing.assert_allclose(weights(Z, b, c - 40.0), softmax(Z @ b.T + c, axis=1), rtol=1e-13)


@pytest.mark.parametrize("size", [800.0, 1e6])
def test_scores_far_out_are_no_trouble(size):
    """Below -708 exp underflows; the logits are linear there, and the weights those of a softmax."""
    found = weights(np.array([[1.0], [-1.0]]), np.array([[size], [size + 1.0]]), np.zeros(2))
    np.testing.assert_allclose(found, [[0.5, 0.5], [expit(1.0), expit(-1.0)]], rtol=1e-9)
