"""Sparsemax and entmax: what they are special cases of, where they are sparse, what they inherit, where they begin."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import moestat as ms
from moestat.component import Dims
from moestat.data import Block, Data
from moestat.errors import InputError
from moestat.gates import Constant, Entmax, Laplace, Softmax, Sparsemax, Temperature
from moestat.sketch import sketch
from tests.unit.draws import normal

K = 3
SOFTMAX = {"slopes": [[1.5, -0.5], [-1.0, 2.0], [0.0, 0.0]], "intercepts": [0.3, -0.2, 0.0]}
EXPERT = {"slopes": np.eye(3)[:, :2], "intercepts": [0.0, 2.0, -2.0], "variances": [0.3, 0.2, 0.4]}


def weights(gate, params, Z):
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    return model.gate_weights(model.params(gate=params, expert=EXPERT), Z)


@pytest.fixture
def Z():
    return normal(200, 2, seed=0)


def rows(n=300):
    X = normal(n, 1, seed=1)
    y = np.where(normal(n, seed=2) < 2 * X[:, 0], 2 + X[:, 0], -2 - X[:, 0]) + 0.3 * normal(n, seed=3)
    return X, y


def fit(gate, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.errors.ConvergenceWarning)
        return ms.fit(ms.MixtureOfExperts(gate=gate), *rows(), n_starts=4, **settings)


# --------------------------------------------------------------------------------------- special cases
def test_of_order_one_it_is_the_inner_gate(Z):
    np.testing.assert_allclose(weights(Entmax(alpha=1), SOFTMAX, Z), weights(Softmax(), SOFTMAX, Z), rtol=1e-13)
    one, plain = fit("entmax(alpha=1)"), fit("softmax")
    assert one.llf == pytest.approx(plain.llf, rel=1e-12)
    np.testing.assert_allclose(one.bse.to_numpy(), plain.bse.to_numpy(), rtol=1e-6)


def test_of_order_two_it_is_sparsemax(Z):
    np.testing.assert_array_equal(weights(Entmax(alpha=2), SOFTMAX, Z), weights(Sparsemax(), SOFTMAX, Z))
    two, sparse = fit("entmax(alpha=2.0)"), fit("sparsemax")
    assert two.llf == pytest.approx(sparse.llf, rel=1e-12)


def test_an_estimated_order_is_the_excess_over_one(Z):
    estimated = weights(Entmax(), {"inner": SOFTMAX, "excess": 0.5}, Z)
    np.testing.assert_allclose(estimated, weights(Entmax(alpha=1.5), SOFTMAX, Z), rtol=1e-12)


def test_sparsemax_is_the_nearest_point_of_the_simplex(Z):
    """No other of many points is nearer to the scores."""
    scores = Z @ np.transpose(SOFTMAX["slopes"]) + SOFTMAX["intercepts"]
    pi = weights(Sparsemax(), SOFTMAX, Z)
    others = np.random.default_rng(1).dirichlet(np.full(K, 0.5), size=500)
    nearest = ((scores - pi) ** 2).sum(axis=1)
    assert (nearest[:, None] <= ((scores[:, None] - others) ** 2).sum(axis=2) + 1e-12).all()
    np.testing.assert_allclose(pi.sum(axis=1), 1.0, rtol=1e-14)


def test_two_experts_share_along_a_straight_line():
    """(1 + t_1 - t_2) / 2, cut at zero and one."""
    model = ms.MixtureOfExperts(gate="sparsemax", n_experts=2)
    expert = {"slopes": [[1.0], [2.0]], "intercepts": [0.0, 0.0], "variances": [1.0, 1.0]}
    params = model.params(gate={"slopes": [[0.7], [0.0]], "intercepts": [0.2, 0.0]}, expert=expert)
    x = np.linspace(-4, 4, 101)
    expected = np.clip(0.5 * (1 + 0.7 * x + 0.2), 0, 1)
    np.testing.assert_allclose(model.gate_weights(params, x[:, None])[:, 0], expected, rtol=0, atol=1e-15)


def test_weights_are_sparser_at_a_higher_order(Z):
    off = [(weights(Entmax(alpha=alpha), SOFTMAX, Z) == 0.0).mean() for alpha in (1.0, 1.2, 1.5, 2.0, 4.0)]
    assert off[0] == 0.0
    assert (np.diff(off) > 0.02).all()


def test_one_expert_takes_all():
    X, y = rows()
    for gate in ("sparsemax", "entmax", "entmax(laplace, alpha=1.5)"):
        assert ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=1), X, y).certificate.trusted


# --------------------------------------------------------------------------------------- what is inherited
@pytest.mark.parametrize("gate", [Sparsemax(), Entmax(alpha=1.5), Entmax()])
def test_what_moves_all_scores_moves_nothing(gate):
    layout = gate.layout(Dims(K, 2))
    inner = Softmax().layout(Dims(K, 2))
    directions, names = gate.invariances(layout, np.ones(layout.size))
    expected, expected_names = Softmax().invariances(inner, np.ones(inner.size))
    np.testing.assert_array_equal(directions[:, : inner.size], expected)
    assert names == expected_names
    assert np.abs(directions[:, inner.size :]).max(initial=0.0) == 0.0


@pytest.mark.parametrize(("alpha", "ray"), [(1.0, True), (1.5, False), (2.0, False), (None, False)])
def test_a_temperature_round_it_has_a_ray_at_order_one_only(alpha, ray):
    """A factor on all scores is a power of softmax weights, and of no others."""
    gate = Temperature(Entmax(alpha=alpha))
    layout = gate.layout(Dims(K, 2))
    assert (layout.index("temperature") in gate.pinned(layout)) == ray


def test_a_temperature_inside_keeps_its_ray():
    gate = Sparsemax(Temperature())
    layout = gate.layout(Dims(K, 2))
    assert layout.index("temperature") in gate.pinned(layout)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("gate", ["entmax(alpha=1.5)", "entmax(alpha=1.25)"])
def test_units_of_covariates_do_not_matter(gate, scale):
    X, y = rows()
    model = ms.MixtureOfExperts(gate=gate)
    plain, scaled = (ms.fit(model, covariates, y, n_starts=4) for covariates in (X, 1950.0 * scale + scale * X))
    assert scaled.llf == pytest.approx(plain.llf, rel=1e-8)
    assert scaled.certificate.trusted


@pytest.mark.parametrize(
    ("gate", "smooth"),
    [(Entmax(alpha=1), True), (Entmax(alpha=1.9), True), (Entmax(alpha=2), False), (Sparsemax(), False)],
)
def test_kinks_begin_at_order_two(gate, smooth):
    """A weight leaves the support with a slope that jumps from pi ** (2 - alpha) to zero."""
    assert gate.smooth == smooth
    assert gate.continuous
    assert not Entmax().smooth  # the order may go beyond


# --------------------------------------------------------------------------------------- where it begins
@pytest.mark.parametrize("alpha", [1.0, 1.2, 1.5, 2.0, 3.0, None])
def test_a_start_has_the_masses_for_weights(alpha):
    rng = np.random.default_rng(4)
    source = Data(normal(80, 2, seed=5), normal(80, seed=6))
    block = sketch(source, 80, 4)
    resp = rng.dirichlet([4.0, 2.0, 1.0], size=block.weight.size).T * block.weight
    gate = Entmax(alpha=alpha)
    layout = gate.layout(Dims(K, 2))
    theta = layout.pack(gate.start(layout, block, resp, source.schema))
    H = np.empty_like(resp)
    gate.bind(layout).value(theta[gate.columns(layout)], block, H)
    mass = resp.sum(axis=1) / resp.sum()
    np.testing.assert_allclose(np.exp(H), np.broadcast_to(mass[:, None], H.shape), rtol=1e-12)


def test_a_row_at_the_edge_has_a_finite_score_and_hessian():
    """A score difference that puts a weight to 1e-17 or to zero, as the last bit will have it."""
    gate = Sparsemax()
    layout = gate.layout(Dims(2, 1))
    gate_, columns = gate.bind(layout), gate.columns(layout)
    Z = np.array([[1.0, 1.0, 1.0], [1.0, 1.0 - 1e-16, 1.0 - 1e-8]])
    block = Block(Z, Z, np.zeros((1, 3)), np.zeros(3), np.ones(3))
    local = np.array([0.0, 0.0, 1.0, 0.0])[columns]
    H, J = np.empty((2, 3)), np.empty((2, 4, 3))
    gate_.value(local, block, H)
    gate_.jac(local, block, H, J)
    D = np.exp(H) * np.array([[0.5], [3.0]]) - np.exp(H)
    pull, curv = np.zeros((2, 4)), np.zeros((2, 4, 4))
    gate_.pull(local, block, H, D, pull)
    gate_.curv(local, block, H, D, curv)
    assert np.isfinite(J).all()
    assert np.isfinite(pull).all()
    assert np.isfinite(curv).all()
    assert np.abs(pull).max() < 10.0


# --------------------------------------------------------------------------------------- front doors
def test_an_expression_is_the_object():
    for text, gate in (
        ("entmax(laplace, alpha=1.5)", Entmax(Laplace(), alpha=1.5)),
        ("entmax(laplace, 1.5)", Entmax(Laplace(), alpha=1.5)),
        ("sparsemax(temperature(tau=0.5))", Sparsemax(Temperature(tau=0.5))),
    ):
        assert ms.MixtureOfExperts(gate=text).gate == gate


def test_the_score_of_a_fit_is_checked_by_differences():
    for gate in ("entmax(alpha=1.5)", "hierarchical(entmax(alpha=1.25), softmax, groups=(1, 2))"):
        X, y = rows()
        n_experts = 3 if "groups" in gate else 2
        results = ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=n_experts), X, y, n_starts=3)
        assert results.check().passed


def test_the_order_is_bounded_by_its_excess():
    results = fit("entmax", bounds={"gate.excess": (0.05, 0.6)})
    assert 0.05 <= results.params.gate.excess <= 0.6 * (1 + 1e-12)


# --------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize("alpha", [0.5, 0, -1.0, np.inf, np.nan, "sparse", True])
def test_the_order_is_at_least_one(alpha):
    with pytest.raises(InputError, match=r"alpha must be a finite number from 1 \(softmax\) on, 2 being sparsemax"):
        Entmax(alpha=alpha)


def test_inner_gates_have_logits_of_their_own():
    for gate in (Entmax, Sparsemax):
        with pytest.raises(InputError, match=r"must be a gate, such as Softmax\(\); got 'softmax'"):
            gate("softmax")
    with pytest.raises(InputError, match=r"inner must be a gate with covariates where alpha is estimated"):
        Entmax(Constant())
    assert Entmax(Constant(), alpha=1.5).alpha == 1.5


def test_an_end_at_a_kink_is_told_as_what_it_may_be() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 1))
    left = x[:, 0] > 0.7 * rng.standard_normal(300)
    y = np.where(left, 1 + x[:, 0], -1 - x[:, 0]) + 0.5 * rng.standard_normal(300)
    model = ms.MixtureOfExperts(gate="sparsemax", n_experts=2)
    certificate = ms.fit(model, x, y, n_starts=3).certificate
    optimum = certificate.optimum
    assert optimum.kinks
    ended = replace(certificate, optimum=replace(optimum, status=ms.Status.NOT_CONVERGED))
    assert "would not be at a kink" in str(ended)
    smooth = replace(ended, optimum=replace(ended.optimum, kinks=False))
    assert "do not use these estimates" in str(smooth)
