"""The top-K gate: who is kept, its identities, one active expert, its starts from dense gates."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import moestat as ms
from moestat.component import Dims
from moestat.errors import InputError, NotIdentifiedError
from moestat.gates import Constant, Hierarchical, Laplace, Softmax, Temperature, TopK
from moestat.typing import FloatArray

K = 4
SOFTMAX = {
    "slopes": [[1.5, -0.5], [-1.0, 2.0], [0.7, 0.7], [0.0, 0.0]],
    "intercepts": [0.3, -0.2, 0.5, 0.0],
}
EXPERT = {"slopes": np.eye(4)[:, :2], "intercepts": [0.0, 2.0, -2.0, 4.0], "variances": [0.3, 0.2, 0.4, 0.3]}


def weights(gate: ms.gates.Gate, params: dict, Z: FloatArray) -> FloatArray:
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    return model.gate_weights(model.params(gate=params, expert=EXPERT), Z)


@pytest.fixture
def Z() -> FloatArray:
    return np.random.default_rng(0).standard_normal((200, 2))


def scores(Z: FloatArray) -> FloatArray:
    return Z @ np.array(SOFTMAX["slopes"]).T + np.array(SOFTMAX["intercepts"])


# --------------------------------------------------------------------------------------- who is kept
def test_all_experts_active_is_the_inner_gate(Z: FloatArray) -> None:
    np.testing.assert_array_equal(weights(TopK(n_active=K), SOFTMAX, Z), weights(Softmax(), SOFTMAX, Z))


@pytest.mark.parametrize("n_active", [1, 2, 3])
def test_the_largest_share_the_row_as_the_inner_gate_has_them(Z: FloatArray, n_active: int) -> None:
    pi, dense = weights(TopK(n_active=n_active), SOFTMAX, Z), weights(Softmax(), SOFTMAX, Z)
    on = np.argsort(np.argsort(-scores(Z), axis=1), axis=1) < n_active
    expected = np.where(on, dense, 0.0)
    np.testing.assert_allclose(pi, expected / expected.sum(axis=1, keepdims=True), rtol=1e-14)
    assert ((pi > 0) == on).all()


def test_two_are_active_when_nothing_is_said(Z: FloatArray) -> None:
    np.testing.assert_array_equal(weights(TopK(), SOFTMAX, Z), weights(TopK(n_active=2), SOFTMAX, Z))
    assert TopK().active(1) == 1


def test_scores_rank_without_the_intercepts(Z: FloatArray) -> None:
    pi = weights(TopK(rank_on="score"), SOFTMAX, Z)
    bare = Z @ np.array(SOFTMAX["slopes"]).T
    on = np.argsort(np.argsort(-bare, axis=1), axis=1) < 2
    assert ((pi > 0) == on).all()
    assert (on != (weights(TopK(), SOFTMAX, Z) > 0)).any()
    # the intercepts come in afterwards
    row = pi[0][on[0]]
    np.testing.assert_allclose(np.log(row[0] / row[1]), np.diff(scores(Z)[0][on[0]])[0] * -1, rtol=1e-12)


def test_ties_go_to_the_lower_numbers() -> None:
    level = {"slopes": np.zeros((K, 2)), "intercepts": np.zeros(K)}
    np.testing.assert_array_equal(weights(TopK(), level, np.ones((3, 2))), np.tile([0.5, 0.5, 0.0, 0.0], (3, 1)))


def test_round_other_gates(Z: FloatArray) -> None:
    centres = {"centres": SOFTMAX["slopes"], "intercepts": SOFTMAX["intercepts"]}
    distance = np.sqrt(((Z[:, None] - np.array(centres["centres"])) ** 2).sum(axis=2) + 1e-4)
    near = np.argsort(np.argsort(distance - np.array(centres["intercepts"]), axis=1), axis=1) < 2
    assert ((weights(TopK(Laplace()), centres, Z) > 0) == near).all()
    sharp = weights(TopK(Temperature(tau=0.5)), SOFTMAX, Z)
    assert ((sharp > 0) == (weights(TopK(), SOFTMAX, Z) > 0)).all()
    inside = weights(Hierarchical(inner=TopK(n_active=1), groups=(2, 2)), _groups(), Z)
    assert ((inside > 0).sum(axis=1) == 2).all()


def _groups() -> dict:
    member = {"slopes": [[1.0, 0.0], [0.0, 0.0]], "intercepts": [0.1, 0.0]}
    return {"outer": member, "group": (member, member)}


# --------------------------------------------------------------------------------------- bad input
def test_bad_settings_are_refused() -> None:
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="n_active must be a whole number of at least 1"):
            TopK(n_active=wrong)
    with pytest.raises(InputError, match="rank_on must be 'logit' or 'score'"):
        TopK(rank_on="bias")
    with pytest.raises(InputError, match="must be a gate"):
        TopK("softmax")
    with pytest.raises(InputError, match="n_active must be at most n_experts=2; got 3"):
        TopK(n_active=3).layout(Dims(2, 1))
    with pytest.raises(InputError, match="rank_on='score' leaves the intercepts out"):
        TopK(Constant(weights=(0.5, 0.5)), rank_on="score").layout(Dims(2, 1))


# --------------------------------------------------------------------------------------- one active expert
def test_one_active_expert_has_no_score_and_no_standard_errors() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 300)
    y = np.where(x > 0.2, 2.0 + x, -1.0 - x) + 0.3 * rng.standard_normal(300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = ms.fit(ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=2), x[:, None], y)
    assert results.certificate.trusted
    gate = results.params.gate
    surface = -(gate.intercepts[0] - gate.intercepts[1]) / (gate.slopes[0, 0] - gate.slopes[1, 0])
    below, above = x[x < 0.2].max(), x[x > 0.2].min()
    assert below < surface < above  # to the gap between two rows
    errors = results.standard_errors(allow_singular=True)
    of_gate = errors.index.str.startswith("gate")
    assert errors[of_gate].isna().all()
    assert errors[~of_gate].gt(0).all()
    assert "not available" in str(results.summary())
    with pytest.raises(NotIdentifiedError, match="switching surface past no row"):
        results.cov_params()
    # the experts are two regressions
    ahead = (x > surface) == (gate.slopes[0, 0] > gate.slopes[1, 0])
    for k, rows in enumerate((ahead, ~ahead)):
        F = np.column_stack([np.ones(rows.sum()), x[rows]])
        coefficient, rss, *_ = np.linalg.lstsq(F, y[rows], rcond=None)
        np.testing.assert_allclose(results.params.expert.intercepts[k], coefficient[0], rtol=1e-8)
        np.testing.assert_allclose(results.params.expert.variances[k], rss[0] / rows.sum(), rtol=1e-8)


# --------------------------------------------------------------------------------------- from dense to sparse
def test_relaxations_lead_from_dense_to_sparse() -> None:
    stages = TopK(n_active=1).relaxations(8)
    assert stages[0] == Softmax()
    assert [stage.n_active for stage in stages[1:]] == [4, 2]
    assert TopK(n_active=2).relaxations(3) == (Softmax(),)
    assert Softmax().relaxations(5) == ()
