"""Hierarchical and constant gates: limits, labels, names, starts, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.component import Dims
from moestat.errors import InputError
from moestat.gates import Activation, Constant, Gate, Hierarchical, Softmax, Temperature
from moestat.typing import FloatArray


def logits(gate: Gate, theta: FloatArray, Z: FloatArray, n_experts: int) -> FloatArray:
    """Differences (K, n) of a gate's logits to the first expert's."""
    from moestat.data import Block

    layout = gate.layout(Dims(n_experts, Z.shape[1]))
    bound, n = gate.bind(layout), len(Z)
    block = Block(np.ones((1, n)), np.vstack([np.ones(n), Z.T]), np.zeros((1, n)), np.zeros(n), np.ones(n))
    out = np.empty((n_experts, n))
    bound.value(theta[bound.columns(layout)], block, out)
    return out - out[0]


@pytest.fixture
def Z() -> FloatArray:
    return np.random.default_rng(0).standard_normal((50, 2))


# --------------------------------------------------------------------------------------- limits
@pytest.mark.parametrize("groups", [(4,), (1, 1, 1, 1)])
@pytest.mark.parametrize("gate", [Softmax(), Activation("tanh"), Temperature()], ids=lambda gate: gate.name)
def test_one_level_is_the_gate_itself(gate: Gate, groups: tuple[int, ...], Z: FloatArray) -> None:
    """One group is its inner gate, groups of one are the outer gate; what is not used has no parameters."""
    tree = Hierarchical(outer=gate, inner=gate, groups=groups)
    size = gate.layout(Dims(4, 2)).size
    assert tree.layout(Dims(4, 2)).size == size
    theta = np.random.default_rng(1).standard_normal(size)
    np.testing.assert_allclose(logits(tree, theta, Z, 4), logits(gate, theta, Z, 4), atol=1e-13)


def test_weights_are_products(Z: FloatArray) -> None:
    model = ms.MixtureOfExperts(gate=Hierarchical(groups=(1, 2)), n_experts=3)
    outer = {"slopes": [[1.0, 0.0], [0.0, 0.0]], "intercepts": [0.2, 0.0]}
    inner = {"slopes": [[0.0, 2.0], [0.0, 0.0]], "intercepts": [0.0, 0.5]}
    expert = {"slopes": np.zeros((3, 2)), "intercepts": [0.0, 1.0, 2.0], "variances": np.ones(3)}
    params = model.params(gate={"outer": outer, "group": ({}, inner)}, expert=expert)
    group = 1 / (1 + np.exp(-Z[:, 0] - 0.2))
    first = 1 / (1 + np.exp(-2 * Z[:, 1] + 0.5))
    expected = np.stack([group, (1 - group) * first, (1 - group) * (1 - first)], axis=1)
    np.testing.assert_allclose(model.gate_weights(params, Z), expected, atol=1e-14)


def test_given_weights_of_groups_are_kept(Z: FloatArray) -> None:
    """A shared expert beside two routed ones: half the mass each."""
    rng = np.random.default_rng(2)
    gate = Hierarchical(outer=Constant(weights=(0.5, 0.5)), groups=(1, 2))
    X = rng.uniform(-3, 3, (600, 1))
    model = ms.MixtureOfExperts(gate=gate, n_experts=3)
    inner = {"slopes": [[3.0], [0.0]], "intercepts": [-0.5, 0.0]}
    expert = {"slopes": [[2.0], [8.0], [-6.0]], "intercepts": [0.0, 2.0, 1.0], "variances": [0.2, 0.4, 0.4]}
    truth = model.params(gate={"outer": {}, "group": ({}, inner)}, expert=expert)
    results = ms.fit(model, X, model.sample(truth, X, rng), n_starts=8)
    assert results.certificate.trusted
    np.testing.assert_allclose(results.gate_weights()[:, 0], 0.5, atol=1e-14)
    np.testing.assert_allclose(results.params.expert.slopes[0], 2.0, atol=0.2)
    assert [name for name in results.names if name.startswith("gate")] == [
        "gate.group[2][1].const",
        "gate.group[2][1].x1",
    ]


def test_two_groups_of_nearly_equal_size_are_the_default() -> None:
    assert [Hierarchical().sizes(K) for K in (1, 2, 5, 6)] == [(1,), (1, 1), (3, 2), (3, 3)]
    assert Hierarchical(inner=(Softmax(), Softmax(), Softmax())).sizes(7) == (3, 2, 2)


# --------------------------------------------------------------------------------------- labels
def test_experts_move_within_groups_and_groups_of_one_structure_as_wholes() -> None:
    gate = Hierarchical(groups=(2, 3, 2))
    mass = np.array([1.0, 2.0, 9.0, 5.0, 7.0, 3.0, 4.0])
    assert gate.order(mass, np.zeros(7, dtype=int)).tolist() == [6, 5, 2, 4, 3, 1, 0]
    mixed = Hierarchical(inner=(Softmax(), Softmax(), Temperature()), groups=(2, 3, 2))
    assert mixed.order(mass, np.zeros(7, dtype=int)).tolist() == [1, 0, 2, 4, 3, 6, 5]


def test_experts_of_different_kind_stay() -> None:
    mass = np.array([1.0, 2.0, 3.0, 4.0])
    assert Hierarchical().order(mass, np.array([0, 1, 0, 1])).tolist() == [2, 3, 0, 1]
    assert Hierarchical().order(mass, np.array([0, 1, 2, 3])).tolist() == [0, 1, 2, 3]


def test_given_weights_bind_their_experts() -> None:
    mass = np.array([1.0, 2.0, 3.0])
    assert Constant(weights=(0.25, 0.25, 0.5)).order(mass, np.zeros(3, dtype=int)).tolist() == [1, 0, 2]


def test_two_trees_of_one_shape_are_exchanged_with_their_leaves() -> None:
    gate = Hierarchical(inner=Hierarchical(), groups=(3, 3))
    order = gate.order(np.array([1.0, 2.0, 3.0, 4.0, 6.0, 5.0]), np.zeros(6, dtype=int))
    assert order.tolist() == [4, 3, 5, 1, 0, 2]


# --------------------------------------------------------------------------------------- names and starts
def test_names_say_level_and_group() -> None:
    gate = Hierarchical(inner=(Softmax(), Hierarchical()), groups=(2, 3))
    model = ms.MixtureOfExperts(gate=gate, n_experts=5)
    rng = np.random.default_rng(3)
    names = [n for n in model.names(model.data(rng.random((9, 1)), rng.random(9)).schema) if n.startswith("gate")]
    assert names[:3] == ["gate.outer[1].const", "gate.outer[2].const", "gate.outer[1].x1"]
    assert "gate.group[1][2].x1" in names
    assert "gate.group[2].outer[1].const" in names
    assert "gate.group[2].group[1][2].x1" in names
    assert len(set(names)) == len(names)


def test_an_expert_alone_adopts_its_neighbours_group() -> None:
    gate = Hierarchical(groups=(1, 2))
    layout = gate.layout(Dims(3, 1))
    theta = np.arange(1.0, layout.size + 1)
    moved = gate.adopt(layout, theta, child=0, parent=2)
    outer = layout.index("outer.slopes")
    assert moved[outer[0]] == theta[outer[1]]
    inner = layout.index("group.1.slopes")
    moved = gate.adopt(layout, theta, child=1, parent=0)
    assert moved[inner[0]] == theta[inner[1]]


# --------------------------------------------------------------------------------------- bad input
def test_groups_that_do_not_add_up() -> None:
    with pytest.raises(InputError, match=r"groups must add up to n_experts=5; \(2, 2\) add up to 4"):
        ms.MixtureOfExperts(gate="hierarchical(groups=(2, 2))", n_experts=5).data(np.ones((3, 1)), np.arange(3.0))


@pytest.mark.parametrize("groups", [(), (2, 0), (2.5, 1), 3, "22", (True, 2)])
def test_groups_are_whole_numbers(groups: object) -> None:
    with pytest.raises(InputError, match="groups must be whole numbers of at least 1"):
        Hierarchical(groups=groups)  # type: ignore[arg-type]


def test_inner_is_one_gate_or_one_per_group() -> None:
    with pytest.raises(InputError, match="one for each of the 3 groups; got 2"):
        Hierarchical(inner=(Softmax(), Softmax()), groups=(2, 2, 1))
    with pytest.raises(InputError, match="inner of the hierarchical gate must be a gate"):
        Hierarchical(inner="laplace")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at most n_experts=1"):
        Hierarchical(inner=(Softmax(), Softmax())).layout(Dims(1, 1))


@pytest.mark.parametrize("weights", [(0.5, 0.6), (1.0, 0.0), (), "half", (0.5, np.nan), ((0.5, 0.5),)])
def test_given_weights_are_positive_and_one_in_all(weights: object) -> None:
    with pytest.raises(InputError, match="weights of the constant gate must"):
        Constant(weights=weights)  # type: ignore[arg-type]


def test_given_weights_are_one_per_expert() -> None:
    with pytest.raises(InputError, match="one per expert, 3"):
        Constant(weights=(0.5, 0.5)).layout(Dims(3, 1))


def test_constant_weights_are_the_shares() -> None:
    """Without covariates in the gate the estimated weights are the mean responsibilities."""
    rng = np.random.default_rng(5)
    y = np.where(rng.random(500) < 0.3, 4.0, 0.0) + rng.standard_normal(500)
    X = rng.standard_normal((500, 1))
    results = ms.fit(ms.MixtureOfExperts(gate="constant", n_experts=2), X, y, n_starts=4)
    np.testing.assert_allclose(results.gate_weights()[0], results.responsibilities().mean(axis=0), rtol=1e-8)
    none = ms.fit(ms.MixtureOfExperts(gate="softmax", n_experts=2), X, y, np.empty((500, 0)), n_starts=4)
    assert results.llf == pytest.approx(none.llf, rel=1e-10)
