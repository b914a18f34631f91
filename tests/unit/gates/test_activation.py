"""The activation gate: limits, invariances, units; and the independence conditions that its theory rests on."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.component import Dims
from moestat.errors import InputError
from moestat.gates import Activation
from moestat.gates.independence import independence, monomial
from moestat.typing import FloatArray

SLOPES, INTERCEPTS = np.array([[1.5, -0.5], [-1.0, 2.0], [0.3, 0.1]]), np.array([0.3, -0.2, 0.0])
EXPERT = {"slopes": np.eye(3)[:, :2], "intercepts": [0.0, 2.0, -2.0], "variances": [0.3, 0.2, 0.4]}


def weights(gate: str, Z: FloatArray, scale: float = 1.0, **params: object) -> FloatArray:
    model = ms.MixtureOfExperts(gate=gate, n_experts=3)
    own = {"slopes": scale * SLOPES, "intercepts": scale * INTERCEPTS, **params}
    return model.gate_weights(model.params(gate=own, expert=EXPERT), Z)


@pytest.fixture
def Z() -> FloatArray:
    return np.random.default_rng(0).standard_normal((100, 2))


# --------------------------------------------------------------------------------------- limits and invariances
def test_identity_is_the_temperature_gate(Z: FloatArray) -> None:
    model = ms.MixtureOfExperts(gate="temperature", n_experts=3)
    inner = {"slopes": SLOPES, "intercepts": INTERCEPTS}
    params = model.params(gate={"inner": inner, "temperature": 0.4}, expert=EXPERT)
    np.testing.assert_allclose(
        weights("activation('identity')", Z, temperature=0.4), model.gate_weights(params, Z), rtol=1e-13
    )


def test_a_held_temperature_is_the_same_gate(Z: FloatArray) -> None:
    np.testing.assert_allclose(
        weights("activation('tanh', tau=0.4)", Z), weights("activation('tanh')", Z, temperature=0.4), rtol=1e-13
    )


@pytest.mark.parametrize(("name", "moves"), [("relu", False), ("identity", False), ("tanh", True), ("gelu", True)])
def test_the_ray_is_there_for_homogeneous_activations_only(name: str, moves: bool, Z: FloatArray) -> None:
    one, other = (weights(f"activation({name!r})", Z, scale=c, temperature=0.4 * c) for c in (1.0, 2.0))
    assert (np.abs(one - other).max() > 0.01) == moves
    gate = Activation(name)
    layout = gate.layout(Dims(3, 2))
    _, names = gate.invariances(layout, np.zeros(layout.size))
    assert ("common scale of the logits and their temperature" in names) == (not moves)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_two_experts_have_a_mirror_image(name: str) -> None:
    """(b1, b2) and (-b2, -b1) have the same weights and one representative."""
    gate = Activation(name)
    layout = gate.layout(Dims(2, 2))
    theta = np.random.default_rng(1).standard_normal(layout.size)
    image, slopes = theta.copy(), layout.index("slopes")
    image[slopes] = -theta[slopes[::-1]]
    np.testing.assert_allclose(gate.canonical(layout, image), gate.canonical(layout, theta), rtol=1e-14)


# --------------------------------------------------------------------------------------- units
@pytest.mark.parametrize("name", ["sigmoid", "silu"])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_a_covariate_does_not_matter(name: str, scale: float) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((400, 2))
    model = ms.MixtureOfExperts(gate=f"activation({name!r}, tau=0.3)", n_experts=2)
    gate = {"slopes": [[2.0, -1.0], [-1.0, 1.5]], "intercepts": [0.2, 0.0]}
    expert = {"slopes": [[3.0, 0.0], [-3.0, 0.5]], "intercepts": [0.0, 2.0], "variances": [0.2, 0.3]}
    y = model.sample(model.params(gate=gate, expert=expert), X, rng)
    plain, scaled = (ms.fit(model, covariates, y, n_starts=4) for covariates in (X, scale * X))
    assert plain.certificate.trusted
    assert scaled.llf == pytest.approx(plain.llf, rel=1e-9)
    np.testing.assert_allclose(scaled.params.gate.slopes * scale, plain.params.gate.slopes, rtol=1e-5)


def test_covariates_far_from_their_origin_can_be_fitted() -> None:
    """Years: the predictor has no constant, so it is nearly the same for all rows; the fit ends all the same."""
    rng = np.random.default_rng(3)
    year = rng.uniform(1900.0, 2000.0, (300, 1))
    y = np.where(year[:, 0] > 1950, 2.0, -2.0) + 0.5 * rng.standard_normal(300)
    model = ms.MixtureOfExperts(gate="activation('tanh', tau=0.2)", n_experts=2)
    results = ms.fit(model, year, y, n_starts=4, bounds={"gate.slopes": 1.0})
    assert np.isfinite(results.llf)


def test_a_superfluous_covariate_leaves_slopes_open_where_its_relation_has_no_constant() -> None:
    """The predictor b'x has no intercept that would take up a constant."""
    gate = Activation("tanh", tau=0.5)
    layout = gate.layout(Dims(2, 3))
    without, with_one = np.array([[0.0, 1.0, -1.0, -1.0]]), np.array([[1.0, 1.0, -1.0, -1.0]])
    directions = gate.null_directions(layout, without)
    assert len(directions) == 2  # one per expert
    for own, direction in zip(layout.index("slopes"), directions, strict=True):
        assert np.linalg.matrix_rank(np.vstack([direction[own], without[:, 1:]])) == 1
        assert np.count_nonzero(direction) == 3
    assert not len(gate.null_directions(layout, with_one))
    assert len(gate.null_directions(layout, np.vstack([with_one, [[1.0, 0.0, 0.0, -0.5]]]))) == 2


# --------------------------------------------------------------------------------------- independence
FIRST = {"identity": False, "relu": False, "sigmoid": True, "tanh": True, "gelu": True, "silu": True}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", FIRST)
def test_independence_conditions(name: str, order: int) -> None:
    found = independence(name, order)
    assert found.independent == FIRST[name]
    assert found.independent == (found.dependency == "")
    # nowhere near the border
    assert min(found.smallest) > 1e-6 if found.independent else max(found.smallest) < 1e-14


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_monomials_are_dependent_by_euler(degree: int) -> None:
    """z a'(z) = p a(z): the dependency that is found is that one."""
    found = independence(monomial(degree))
    assert not found.independent
    assert found.dependency.startswith("a(b1'x) = ")
    assert "x1 a'(b1'x)" in found.dependency
    assert f"degree {degree}" in str(found)


def test_the_dependency_is_an_equation() -> None:
    """Its numbers are the slopes over the degree."""
    import re

    first, second = (re.findall(r"(-?[\d.]+) x\d a'", independence(monomial(p)).dependency) for p in (1, 2))
    np.testing.assert_allclose(np.array(first, float), 2.0 * np.array(second, float), rtol=0.01)


@pytest.mark.parametrize(("features", "experts"), [(1, 2), (3, 2), (2, 3)])
def test_the_verdict_does_not_depend_on_sizes(features: int, experts: int) -> None:
    for name, expected in FIRST.items():
        assert independence(name, n_features=features, n_experts=experts).independent == expected


# --------------------------------------------------------------------------------------- bad input
def test_unknown_activations_are_listed() -> None:
    with pytest.raises(InputError, match=r"one of \['identity'.*got 'sigmoyd'.*Did you mean 'sigmoid'"):
        Activation("sigmoyd")
    with pytest.raises(InputError, match="tau must be"):
        Activation(tau=0.0)
    with pytest.raises(InputError, match="order must be 1 or 2"):
        independence("tanh", 3)
