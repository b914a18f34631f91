"""Non-linear residual gate: its linear cases, its settings, its invariances."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.component import Dims
from moestat.errors import InputError
from moestat.gates import NoRGa, Temperature
from tests.unit.draws import normal


def fit(gate):
    X = normal(240, 1, seed=1)
    y = np.where(normal(240, seed=2) < 2 * X[:, 0], 2 + X[:, 0], -2 - X[:, 0]) + 0.3 * normal(240, seed=3)
    return ms.fit(ms.MixtureOfExperts(gate=gate), X, y, n_starts=4)


@pytest.mark.parametrize(
    ("gate", "factor"), [(NoRGa(alpha=0), 1.0), (NoRGa(activation="identity", alpha=0.5, tau=3.0), 2.5)]
)
def test_a_linear_residual_is_the_softmax_gate(gate, factor):
    """With slopes times 1 + alpha tau."""
    ours, plain = fit(gate), fit("softmax")
    assert ours.llf == pytest.approx(plain.llf, abs=1e-8)
    np.testing.assert_allclose(factor * ours.params.gate.slopes, plain.params.gate.slopes, rtol=1e-5)
    assert ours.certificate.optimum.invariances == plain.certificate.optimum.invariances == 2


def test_a_bent_residual_has_no_invariance():
    gate = NoRGa()
    layout = gate.layout(Dims(3, 2))
    assert len(gate.invariances(layout, np.ones(layout.size))[0]) == len(gate.pinned(layout)) == 0


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "arctan", "silu", "relu"])
def test_two_experts_have_a_mirror_image(name):
    """With an odd activation the scores (s1, s2) and (-s2, -s1) have the same weights and one representative."""
    gate = NoRGa(name, alpha=0.7, tau=1.5)
    model = ms.MixtureOfExperts(gate=gate, n_experts=2)
    layout, X = gate.layout(Dims(2, 2)), normal(50, 2, seed=4)
    theta = normal(layout.size, seed=5)
    image = theta.copy()
    for own in (layout.index("slopes"), layout.index("intercepts")):
        image[own] = -theta[own[::-1]]
    expert = {"intercepts": [0.0, 1.0], "slopes": np.zeros((2, 2)), "variances": [1.0, 1.0]}
    seen, mirrored = (
        model.gate_weights(model.params(gate=layout.unpack(at), expert=expert), X) for at in (theta, image)
    )
    odd = name in ("tanh", "sigmoid", "arctan")
    assert np.allclose(seen, mirrored, rtol=1e-12) == odd
    kept, moved = (gate.canonical(layout, at) for at in (theta, image))
    assert np.array_equal(kept, moved) == odd
    assert not odd or kept[layout.index("slopes")].sum(axis=0)[0] > 0
    assert np.array_equal(gate.canonical(layout, kept), kept)


def test_bounds_may_leave_only_the_mirror_image():
    """One maximum, reported upright where that is allowed, and as its image where only that is inside the bounds."""
    X = normal(240, 1, seed=1)
    y = np.where(normal(240, seed=2) < 2 * X[:, 0], 2 + X[:, 0], -2 - X[:, 0]) + 0.3 * normal(240, seed=3)
    model = ms.MixtureOfExperts(gate=NoRGa())
    upright, image = (
        ms.fit(model, X, y, n_starts=6, bounds={"gate.slopes": box}) for box in ((-1.0, 20.0), (-20.0, 1.0))
    )
    assert (upright.params.gate.slopes > 0).all()
    assert image.llf == pytest.approx(upright.llf, abs=1e-8)
    np.testing.assert_allclose(image.params.gate.slopes, -upright.params.gate.slopes[::-1], rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "thanh"}, r"activation must be one of \['identity'.*Did you mean 'tanh'"),
        ({"alpha": -1.0}, "alpha must be a finite number at least 0; got -1.0"),
        ({"tau": 0.0}, "tau must be a finite number larger than 0; got 0.0"),
        ({"tau": "one"}, "tau must be a finite number"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        NoRGa(**settings)


@pytest.mark.parametrize(
    ("gate", "homogeneous"),
    [
        (NoRGa(alpha=0), True),
        (NoRGa(activation="identity"), True),
        (NoRGa(activation="relu"), True),
        (NoRGa(), False),
    ],
)
def test_the_temperature_of_homogeneous_scores_is_a_reference(gate, homogeneous):
    """(c b, c c_k, c tau) have the same weights for every c > 0, so that tau is held at one."""
    warm = Temperature(gate)
    layout = warm.layout(Dims(3, 2))
    assert (layout.index("temperature") in warm.pinned(layout)) == homogeneous
    assert (gate.dilation(gate.layout(Dims(3, 2))) is not None) == homogeneous


def test_a_kink_of_the_activation_is_one_of_the_gate():
    assert NoRGa().smooth
    assert not NoRGa(activation="relu").smooth
    assert NoRGa(activation="relu", alpha=0).smooth
