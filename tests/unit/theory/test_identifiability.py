"""Exactly flat directions, found from densities and explained; none where there are none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import moestat as ms
from moestat.component import Gate
from moestat.data import Schema
from moestat.errors import InputError
from moestat.params import POSITIVE, axes, layout_of, own_columns, parameters, shared_columns
from moestat.theory import flat_directions

TWO = {"intercepts": [0.0, 1.0], "slopes": [[1.0], [-1.0]], "variances": [1.0, 0.5]}
PAIRS = {name: np.concatenate([values, values]) for name, values in TWO.items()}


def linear(slopes, intercepts):
    return {"slopes": np.reshape(slopes, (-1, 1)), "intercepts": intercepts}


def gaussian(gate, K, parameters, expert=None):
    model = ms.MixtureOfExperts(gate=gate, expert="gaussian", n_experts=K)
    return model, model.params(gate=parameters, expert=expert or TWO)


def found(gate, K, parameters, expert=None, **options):
    return flat_directions(*gaussian(gate, K, parameters, expert), **options)


def kinds(directions):
    return Counter(d.kind for d in directions)


def texts(directions):
    return [d.words for d in directions]


def test_a_softmax_gate_shifts_and_nothing_else():
    assert texts(found("softmax", 2, linear([1.0, 0.2], [0.0, 0.3]))) == [
        "a common shift of gate.intercepts leaves the gate's weights as they are",
        "a common shift of gate.slopes leaves the gate's weights as they are",
    ]


@pytest.mark.parametrize(
    ("gate", "parameters"),
    [
        ("laplace", {"centres": [[1.0], [0.2]], "intercepts": [0.0, 0.3]}),
        ("activation", {**linear([1.0, 0.2], [0.0, 0.3]), "temperature": 0.7}),
        ("temperature(laplace)", {"inner": {"centres": [[1.0], [0.2]], "intercepts": [0.0, 0.3]}, "temperature": 0.7}),
    ],
)
def test_gates_with_one_shift(gate, parameters):
    (flat,) = found(gate, 2, parameters)
    assert "a common shift of gate" in flat.words
    assert "intercepts" in flat.words


def test_sigmoid_gates_have_none():
    assert found("sigmoid", 2, linear([1.0, 0.2], [0.0, 0.3])) == ()


def test_the_ray_of_a_temperature():
    flat = found("temperature", 2, {"inner": linear([1.0, 0.2], [0.0, 0.3]), "temperature": 0.7})[-1]
    assert flat.words == (
        "gate.inner.intercepts and gate.inner.slopes and gate.temperature times a common factor leave the gate's "
        "weights as they are"
    )
    gate = flat.params.gate
    assert gate.inner.slopes[0, 0] / 1.0 == pytest.approx(gate.temperature / 0.7, rel=1e-14)
    assert flat.difference < 1e-15


def test_equal_atoms_share_their_mass_freely():
    expert = {name: np.append(values, values[-1:], axis=0) for name, values in TWO.items()}
    flat = found("softmax", 3, linear([1.0, 0.2, 0.2], [0.0, 0.3, -0.2]), expert)
    assert texts(flat)[2:] == ["experts 2, 3 coincide: mass moves freely between them"]


def test_equal_experts_with_slopes_of_their_own_do_not():
    expert = {name: np.append(values, values[-1:], axis=0) for name, values in TWO.items()}
    assert kinds(found("softmax", 3, linear([1.0, 0.2, 0.9], [0.0, 0.3, -0.2]), expert)) == {"gate": 2}


def test_an_expert_without_mass():
    expert = {"intercepts": [0.0, 1.0, 2.0], "slopes": [[1.0], [-1.0], [0.5]], "variances": [1.0, 0.5, 0.5]}
    flat = found("softmax", 3, linear([1.0, 0.2, 0.9], [0.0, 0.3, -300.0]), expert)
    assert kinds(flat) == {"no mass": 1, "gate": 2}
    assert flat[0].words == "expert 3 has no mass, so its parameters may be anything"


# --------------------------------------------------------------------------------------- the split-atom ridge
def split(d, K_true=2):
    slopes = np.array([1.0, 0.2])
    return linear(np.concatenate([slopes + d, slopes - d]), [0.0, 0.3, 0.0, 0.3])


@pytest.mark.parametrize("d", [0.0, 0.8])
def test_the_ridge_of_split_atoms(d):
    """At d = 0 it is no tangent of the scores alone: it is found by following combinations."""
    flat = found("softmax", 4, split(d), PAIRS)
    assert kinds(flat)["ridge"] == 2
    assert kinds(flat)["coincide"] == (2 if d == 0.0 else 0)
    assert max(f.difference for f in flat) < 5e-15


@pytest.mark.parametrize("delta", [0.5, 1.0, 5.0])
def test_one_density_along_the_ridge(delta):
    """Every true atom split by the same delta: exact for every length, by a direct look at the densities."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (400, 1))
    model, one = gaussian("softmax", 4, split(0.0), PAIRS)
    _, two = gaussian("softmax", 4, split(delta), PAIRS)
    y = model.sample(one, X, rng)
    gap = np.exp(model.log_density(one, X, y)) - np.exp(model.log_density(two, X, y))
    assert np.abs(gap).max() < 2e-15


def test_laplace_gates_have_no_ridge():
    parameters = {"centres": [[1.0], [0.2], [1.0], [0.2]], "intercepts": [0.0, 0.3, 0.0, 0.3]}
    assert kinds(found("laplace", 4, parameters, PAIRS)) == {"gate": 1, "coincide": 2}


def test_mass_that_moves_between_equal_atoms_is_no_ridge():
    """Both pairs at once: it is not by a factor of the covariates."""
    parameters = {"centres": [[1.0], [0.2], [1.0], [0.2]], "intercepts": [0.0, 0.3, 0.2, -0.1]}
    flat = found("laplace", 4, parameters, PAIRS)
    assert kinds(flat) == {"gate": 1, "coincide": 2}
    assert all("mass moves freely" in f.words for f in flat if f.kind == "coincide")


@pytest.mark.parametrize(("gate", "K", "n"), [("topk(n_active=1)", 2, 3), ("threshold", 2, 2)])
def test_switches_of_hard_gates_are_seen(gate, K, n):
    """What moves a switch between two random rows is not flat, though it passes none of them."""
    flat = found(gate, K, linear([2.5, 0.0], [-0.8, 0.0]))
    X = np.linspace(0.3, 0.34, 2000)[:, None]  # no row on the switch itself
    model, params = gaussian(gate, K, linear([2.5, 0.0], [-0.8, 0.0]))
    for f in flat:
        ends = [np.exp(model.log_density(p, X, np.zeros(len(X)))) for p in (params, f.params)]
        assert np.abs(ends[1] - ends[0]).max() < 1e-13
    assert texts(flat)[:2] == [
        "a common shift of gate.intercepts leaves the gate's weights as they are",
        "a common shift of gate.slopes leaves the gate's weights as they are",
    ]
    assert len(flat) == n


def test_joint_gaussian_gates_shift_their_log_weights():
    gate = {"log_weights": [0.1, -0.3], "centres": [[0.5], [-1.0]], "covariances": [[[1.0]], [[0.5]]]}
    (flat,) = found("gaussian(likelihood='joint')", 2, gate)
    assert flat.words == "a common shift of gate.log_weights leaves the gate's weights as they are"


def test_three_experts_for_two_have_no_ridge():
    expert = {name: np.append(values, values[-1:], axis=0) for name, values in TWO.items()}
    flat = found("softmax", 3, linear([1.0, 0.2, 0.2], [0.0, 0.3, 0.3]), expert)
    assert kinds(flat) == {"gate": 2, "coincide": 1}


def test_hierarchies_have_it_group_by_group():
    expert = {
        "intercepts": [0.0, 1.0, 0.0, 1.0, 2.0, 3.0],
        "slopes": [[1.0], [-1.0], [1.0], [-1.0], [0.5], [-0.2]],
        "variances": [1.0, 0.5, 1.0, 0.5, 0.7, 0.8],
    }
    gate = {"outer": linear([0.6, -0.3], [0.0, 0.2]), "group": [split(0.7), linear([-1.0, 0.2], [0.1, 0.3])]}
    flat = found("hierarchical(groups=(4, 2))", 6, gate, expert)
    ridges = [f for f in flat if f.kind == "ridge"]
    assert len(ridges) == 2
    assert all(f.words.startswith("experts 1, 3 and 2, 4 coincide") for f in ridges)
    assert any("gate.group[2].slopes" in text for text in texts(flat))


def test_constant_classes_mix_to_constant_classes():
    model = ms.MixtureOfExperts(gate="softmax", expert="multinomial", n_experts=3)
    params = model.params(
        gate=linear([1.0, 0.2, 0.2], [0.0, 0.3, 0.0]),
        expert={
            "intercepts": [[0.2, 0.1], [1.0, -0.5], [-0.3, 0.4]],
            "slopes": [[[1.0], [0.5]], [[0.0], [0.0]], [[0.0], [0.0]]],
        },
    )
    flat = flat_directions(model, params)
    assert kinds(flat) == {"gate": 2, "constant": 3}
    assert flat[-1].words.startswith("experts 2, 3 ignore the covariates")


def test_ends_have_the_density_of_the_start():
    """Compared anew, on other rows."""
    rng = np.random.default_rng(5)
    X = rng.uniform(-3, 3, (200, 1))
    model, params = gaussian("softmax", 4, split(0.8), PAIRS)
    y = model.sample(params, X, rng)
    for flat in flat_directions(model, params):
        gap = np.exp(model.log_density(flat.params, X, y)) - np.exp(model.log_density(params, X, y))
        assert np.abs(gap).max() < 1e-13
        assert flat.moved


@parameters
class TwistParams:
    slopes: np.ndarray = axes("expert", "feature")
    first: np.ndarray = axes(support=POSITIVE, label="first")
    second: np.ndarray = axes(support=POSITIVE, label="second")


@dataclass(frozen=True)
class Twist(Gate):
    """A gate never seen before, which sees two numbers by their product only: h = first second tanh(b'x + 1)."""

    name: ClassVar[str] = "twist"

    def layout(self, dims):
        return layout_of(TwistParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout):
        slopes = layout.index("slopes")
        shared = np.array([layout.index("first"), layout.index("second")]).ravel()
        return own_columns(slopes, shared_columns(len(slopes), shared))

    def value(self, local, block, out):
        out[:] = np.exp(local[:, -2:].sum(axis=1))[:, None] * np.tanh(local[:, :-2] @ block.Z[1:] + 1.0)

    def jac(self, local, block, value, out):
        t = np.tanh(local[:, :-2] @ block.Z[1:] + 1.0)
        c = np.exp(local[:, -2:].sum(axis=1))[:, None]
        out[:, :-2] = (c * (1 - t**2))[:, None] * block.Z[1:]
        out[:, -2:] = (c * t)[:, None]

    def curv(self, local, block, value, weights, out):
        t = np.tanh(local[:, :-2] @ block.Z[1:] + 1.0)
        c = weights * np.exp(local[:, -2:].sum(axis=1))[:, None]
        out[:, :-2, :-2] += np.einsum("kb,ub,vb->kuv", -2 * c * t * (1 - t**2), block.Z[1:], block.Z[1:])
        cross = np.einsum("kb,ub->ku", c * (1 - t**2), block.Z[1:])[:, :, None]
        out[:, :-2, -2:] += cross
        out[:, -2:, :-2] += cross.swapaxes(1, 2)
        out[:, -2:, -2:] += (c * t).sum(axis=1)[:, None, None]

    def start(self, layout, block, resp, schema):
        rng = np.random.default_rng(int(1e6 * abs(block.Y[0, 0])))
        return TwistParams(slopes=rng.normal(size=(len(resp), len(block.Z) - 1)), first=1.0, second=1.0)


def test_a_gate_never_seen_before():
    (flat,) = found(Twist(), 2, {"slopes": [[1.0], [-0.4]], "first": 0.8, "second": 1.3})
    assert flat.kind == "gate"
    assert flat.moved == ("gate.first", "gate.second")
    assert flat.params.gate.first * flat.params.gate.second == pytest.approx(0.8 * 1.3, rel=1e-14)


def test_certificates_say_why_an_undeclared_direction_is_flat():
    rng = np.random.default_rng(3)
    X = rng.uniform(-2, 2, (600, 1))
    model, params = gaussian(Twist(), 2, {"slopes": [[1.5], [-1.5]], "first": 1.5, "second": 1.0})
    with pytest.warns(ms.NotIdentifiedWarning):
        results = ms.fit(model, X, model.sample(params, X, rng), n_starts=3)
    (words,) = results.certificate.optimum.flat
    assert words.startswith("the gate's weights stay as they are along gate.")
    assert "first" in words
    assert "second" in words


def test_least_squares_have_no_density_to_follow():
    """Wherever the fit ends: directions of the means are listed by their loadings."""
    rng = np.random.default_rng(3)
    X = rng.uniform(-2, 2, (400, 1))
    model, params = gaussian(Twist(), 2, {"slopes": [[1.5], [-1.5]], "first": 1.5, "second": 1.0})
    with pytest.warns(ms.errors.ConvergenceWarning):
        results = ms.fit(model, X, model.sample(params, X, rng), n_starts=2, objective="least_squares")
    assert results.certificate.optimum.flat
    assert not any("as they are" in words for words in results.certificate.optimum.flat)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"length": 0.0}, "length must be a finite number"), ({"n_rows": 0}, "n_rows must be a whole number")],
)
def test_bad_arguments(options, words):
    with pytest.raises(InputError, match=words):
        found("softmax", 2, linear([1.0, 0.2], [0.0, 0.3]), **options)


GATES_WITH_DECLARATIONS = [
    "softmax",
    "laplace",
    "quadratic",
    "cosine",
    "sigmoid",
    "norga",
    "constant",
    "temperature",
    "activation",
    "hierarchical",
    "gaussian",
    "gaussian(likelihood='joint')",
    "gumbel",
]


@pytest.mark.parametrize("gate", GATES_WITH_DECLARATIONS)
def test_what_gates_declare_is_what_is_found(gate):
    """The two know nothing of each other: declarations are by hand, and these are found from densities."""
    model = ms.MixtureOfExperts(gate=gate, expert="gaussian", n_experts=4)
    names = ("x1", "x2")
    schema = Schema(names, names, ("y",))
    theta = 0.7 * np.random.default_rng(1).standard_normal(model.layout(schema).size)
    flat = flat_directions(model, model.layout(schema).unpack(theta))
    declared = model.terms(schema).invariances(theta)
    assert len(flat) == np.linalg.matrix_rank(declared) if declared.size else not flat
    for direction in flat:
        along = np.linalg.lstsq(declared.T, direction.direction, rcond=None)[0]
        np.testing.assert_allclose(declared.T @ along, direction.direction, atol=1e-6)
