"""Threshold gate: which experts stay, its dense limit, where it begins."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import moestat as ms
from moestat.component import Dims
from moestat.data import Block, Data
from moestat.errors import InputError
from moestat.gates import Laplace, Softmax, Temperature, Threshold
from moestat.sketch import sketch
from tests.unit.draws import normal

K = 4


def logits_of(gate, scores):
    """Logits (K, B) of a softmax gate inside, whose scores are given: experts have slopes on indicators of rows."""
    scores = np.asarray(scores, dtype=float)
    B = scores.shape[1]
    Z = np.vstack([np.ones(B), np.eye(B)])
    block = Block(Z, Z, np.zeros((1, B)), np.zeros(B), np.ones(B))
    layout = gate.layout(Dims(len(scores), B))
    theta = layout.pack(layout.build(intercepts=np.zeros(len(scores)), slopes=scores))
    H = np.empty(scores.shape)
    gate.bind(layout).value(theta[gate.columns(layout)], block, H)
    return H


def kept(gate, weights):
    """Which experts stay in a row with these weights."""
    return np.isfinite(logits_of(gate, np.log(np.transpose([weights])))[:, 0]).tolist()


@pytest.mark.parametrize(
    ("mass", "expected"),
    [
        (0.4, [False, True, False, False]),
        (0.5, [False, True, False, False]),
        (0.51, [True, True, False, False]),
        (0.8, [True, True, False, False]),
        (0.81, [True, True, True, False]),
        (1.0, [True, True, True, True]),
    ],
)
def test_the_largest_weights_reach_the_mass(mass, expected):
    assert kept(Threshold(mass=mass), [0.3, 0.5, 0.15, 0.05]) == expected


@pytest.mark.parametrize(
    ("margin", "expected"),
    [(0.0, [False, True, False, False]), (0.6, [True, True, False, False]), (3.0, [True, True, True, True])],
)
def test_logits_within_the_margin_stay(margin, expected):
    assert kept(Threshold(margin=margin), [0.3, 0.5, 0.15, 0.05]) == expected


def test_ties_go_to_the_lowest_index():
    """Up to rounding of sums: two of four equal weights reach a half, three of ten 0.3."""
    assert kept(Threshold(mass=0.5), [0.25] * 4) == [True, True, False, False]
    assert kept(Threshold(mass=0.3), [0.1] * 10) == [True] * 3 + [False] * 7
    assert kept(Threshold(mass=0.6), [0.2, 0.2, 0.4, 0.2]) == [True, False, True, False]
    assert kept(Threshold(margin=0.0), [0.25] * 4) == [True] * 4  # equals of the leading one are within any margin


def test_what_stays_is_shared_anew():
    """The inner gate's weights, divided by their sum."""
    H = logits_of(Threshold(mass=0.8), np.log([[0.3], [0.5], [0.15], [0.05]]))
    np.testing.assert_allclose(np.exp(H[:, 0]) / np.exp(H).sum(), [0.375, 0.625, 0.0, 0.0], rtol=1e-14)


def test_few_experts_where_the_gate_is_sure():
    scores = np.array([[0.0, 3.0, 1.0], [0.0, -3.0, 0.9], [0.0, 0.0, -5.0]])
    assert np.isfinite(logits_of(Threshold(), scores)).sum(axis=0).tolist() == [3, 1, 2]


# --------------------------------------------------------------------------------------- limits
def rows(n=300):
    X = normal(n, 1, seed=1)
    y = np.where(normal(n, seed=2) < 2 * X[:, 0], 2 + X[:, 0], -2 - X[:, 0]) + 0.3 * normal(n, seed=3)
    return X, y


def fit(gate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.errors.ConvergenceWarning)
        return ms.fit(ms.MixtureOfExperts(gate=gate), *rows(), n_starts=4)


def test_all_mass_is_the_dense_gate():
    dense, plain = fit("threshold(mass=1)"), fit("softmax")
    assert dense.llf == pytest.approx(plain.llf, rel=1e-12)
    np.testing.assert_allclose(dense.bse.to_numpy(), plain.bse.to_numpy(), rtol=1e-6)
    wide = fit("threshold(margin=1e6)")
    assert wide.llf == pytest.approx(plain.llf, rel=1e-12)


@pytest.mark.parametrize("gate", [Threshold(), Threshold(mass=0.5), Threshold(margin=1.0)])
def test_the_likelihood_jumps(gate):
    assert not gate.continuous
    assert gate.dilation(gate.layout(Dims(K, 2))) is None  # larger scores have smaller sets
    warm = Temperature(gate)
    layout = warm.layout(Dims(K, 2))
    assert layout.index("temperature") not in warm.pinned(layout)


def test_a_dense_one_does_not():
    dense = Threshold(mass=1)
    assert dense.continuous
    assert dense.dilation(dense.layout(Dims(K, 2))) is not None


# --------------------------------------------------------------------------------------- where it begins
@pytest.mark.parametrize("inner", [Softmax(), Laplace()], ids=["softmax", "laplace"])
@pytest.mark.parametrize("settings", [{"mass": 0.5}, {"mass": 0.9}, {"margin": 0.1}], ids=str)
def test_no_expert_is_without_rows_at_a_start(inner, settings):
    """Experts by regions of the first covariate, one of them small: constant scores would rank it last in all rows."""
    X = normal(400, 2, seed=5)
    source = Data(X, normal(400, seed=6))
    block = sketch(source, 400, 4)
    region = np.searchsorted([-0.5, 0.8], block.Z[1])
    resp = np.where(np.arange(3)[:, None] == region, 0.8, 0.1) * block.weight
    gate = Threshold(inner, **settings)
    layout = gate.layout(Dims(3, 2))
    theta = layout.pack(gate.start(layout, block, resp, source.schema))
    H = np.empty_like(resp)
    gate.bind(layout).value(theta[gate.columns(layout)], block, H)
    assert (np.isfinite(H).mean(axis=1) > 0.05).all()


# --------------------------------------------------------------------------------------- settings
def test_an_expression_is_the_object():
    assert ms.MixtureOfExperts(gate="threshold(laplace, mass=0.8)").gate == Threshold(Laplace(), mass=0.8)
    assert ms.MixtureOfExperts(gate="threshold(margin=1.5)").gate == Threshold(margin=1.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mass": 0.0}, r"mass must be a number in \(0, 1\], where 1 keeps all experts; got 0.0"),
        ({"mass": 1.5}, "mass must be a number"),
        ({"mass": np.nan}, "mass must be a number"),
        ({"mass": "most"}, "mass must be a number"),
        ({"mass": True}, "mass must be a number"),
        ({"margin": -1.0}, r"margin must be a number from 0 on, a difference of logits; got -1.0"),
        ({"margin": np.inf}, "margin must be a number"),
        ({"mass": 0.9, "margin": 1.0}, "mass=0.9 and margin=1.0 are two rules for which experts stay; leave one out"),
        ({"inner": "softmax"}, "inner of the threshold gate must be a gate"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Threshold(**settings)


def test_what_holds_a_jump_jumps():
    for text in ("temperature(threshold)", "hierarchical(softmax, threshold)", "entmax(threshold, alpha=1.5)"):
        assert not ms.MixtureOfExperts(gate=text).gate.continuous
        assert ms.MixtureOfExperts(gate=text.replace("threshold", "softmax")).gate.continuous
