"""Identities among the derivatives of an atom: those of the literature are found, and no others where a gate cures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import mpmath
import numpy as np
import pytest

from moestat.component import Gate
from moestat.errors import InputError
from moestat.params import axes, layout_of, own_columns, parameters
from moestat.theory import interactions

HEAT = "∂²u/∂expert.const² = 2 ∂u/∂expert.variance"


def texts(found):
    return [identity.text for identity in found.essential]


def not_harmless(found):
    return [identity.text for identity in found.essential if not identity.harmless]


@pytest.mark.parametrize("gate", ["softmax", "laplace", "constant", "activation", "temperature", "cosine", "sigmoid"])
def test_the_heat_equation_is_always_there(gate):
    assert HEAT in texts(interactions(gate, "gaussian"))


def test_softmax_slopes_interact_with_linear_experts():
    found = interactions("softmax", "gaussian")
    assert not_harmless(found) == [
        "∂²u/∂gate.x1 ∂expert.const = ∂u/∂expert.x1",
        "∂²u/∂gate.x2 ∂expert.const = ∂u/∂expert.x2",
        HEAT,
    ]
    assert found.of_gate
    assert found.parameters.keys() == {
        *("gate.x1", "gate.x2", "expert.const", "expert.x1", "expert.x2", "expert.variance"),
    }


@pytest.mark.parametrize("gate", ["constant", "laplace", "activation", "activation(activation='tanh')"])
@pytest.mark.parametrize("n_features", [1, 2])
def test_gates_that_cure_add_nothing_that_matters(gate, n_features):
    found = interactions(gate, "gaussian", n_features=n_features)
    assert not_harmless(found) == [HEAT]
    if n_features == 1:
        assert texts(found) == [HEAT]
    assert not found.first_order


def test_radial_gates_have_a_mixed_identity():
    """Derivatives of a Laplace gate's logit in its centre point along x - c, whose turning is linear in x."""
    (mixed,) = [i for i in interactions("laplace", "gaussian").essential if i.text != HEAT]
    assert mixed.harmless
    assert mixed.parameters == {"gate.x1", "gate.x2", "expert.const", "expert.x1", "expert.x2"}


def test_the_temperature_is_not_told_apart():
    (first,) = interactions("temperature", "gaussian", n_features=1).first_order
    assert first.text == "∂u/∂gate.temperature = -(gate.inner.x1 / gate.temperature) ∂u/∂gate.inner.x1"
    assert "∂²u/∂gate.inner.x1 ∂expert.const = (1 / gate.temperature) ∂u/∂expert.x1" in texts(
        interactions("temperature", "gaussian", n_features=1)
    )


def test_an_activation_with_powers_does_not_cure():
    assert interactions("activation(activation='identity')", "gaussian").first_order


def test_the_length_of_a_cosine_gate_means_nothing():
    (first,) = interactions("cosine", "gaussian").first_order
    assert first.text == "∂u/∂gate.x2 = -(gate.x1 / gate.x2) ∂u/∂gate.x1"
    (first,) = interactions("cosine(perturbation=0.5)", "gaussian").first_order
    assert first.leading == ("gate.temperature",)  # room for lengths, which count now


def test_a_joint_gaussian_gate():
    """dF/da = Gamma d2F/dcdb + c dF/db, which at c = 0 has no first derivative in b left."""
    gate = "gaussian(likelihood='joint')"
    one, two = (interactions(gate, "gaussian", n_features=1, at=at) for at in (None, {"gate.centres": 0.0}))
    assert "∂²u/∂gate.x1.centre² = 2 ∂u/∂gate.x1.variance" in texts(one)
    joining = ("gate.x1.centre", "expert.const")
    (general,), (special,) = ([i for i in f.essential if i.leading == joining] for f in (one, two))
    c, gamma = one.parameters["gate.x1.centre"], one.parameters["gate.x1.variance"]
    assert general.terms == pytest.approx({("expert.x1",): 1 / gamma, ("expert.const",): -c / gamma}, rel=1e-12)
    assert special.terms == pytest.approx({("expert.x1",): 1 / two.parameters["gate.x1.variance"]}, rel=1e-12)


def test_consequences_of_higher_order_are_left_out():
    """For a joint Gaussian gate d2/da2 follows from the three others by fourth derivatives."""
    found = interactions("gaussian(likelihood='joint')", "gaussian", n_features=1)
    assert len(found.essential) == 3
    assert all(i.recognised for i in found.essential)
    assert not any("expert.x1" in i.squares for i in found.essential)


def test_a_monomial_gate_cures():
    """What is left bounds squares by products whose factors' squares are free."""
    found = interactions("quadratic(linear=False)", "gaussian", n_features=1)
    (bounded,) = found.bounded
    assert bounded.text == "∂²u/∂expert.x1² = 2 ∂²u/∂gate.x1^2 ∂expert.variance"
    assert "The gate adds no interaction" in str(found)
    assert "where m fitted atoms share a true one,\n  expert.const, expert.variance may be slower" in str(found)
    assert not found.of_gate
    assert interactions("quadratic", "gaussian", n_features=1).of_gate


def test_reports_leave_numbers_out():
    found = interactions("cosine", "gaussian")
    assert not all(i.recognised for i in found.essential)
    assert "whose coefficients are no simple expressions" in str(found)
    assert "0." not in str(found)


def test_parameters_are_held_by_their_printed_names():
    gate = "gaussian(likelihood='joint')"
    for name in ("gate.centres", "gate.x1.centre"):
        found = interactions(gate, "gaussian", n_features=1, order=1, at={name: 0.25})
        assert found.parameters["gate.x1.centre"] == 0.25
    with pytest.raises(InputError, match=r"Parameters of the atom have names too: gate\.log weight, gate\.x1\.centre"):
        interactions(gate, "gaussian", n_features=1, at={"gate.x1": 0.0})


def test_multinomial_experts():
    found = interactions("softmax", "multinomial")
    for c in (1, 2):
        for u in (1, 2):
            assert f"∂²u/∂gate.x{u} ∂expert.{c}.const = ∂u/∂expert.{c}.x{u}" in texts(found)
    assert not any(i.squares for i in found.essential)


def test_constant_multinomial_experts_lose_their_second_derivatives():
    """All laws on C classes are spanned by f and its C - 1 first derivatives."""
    found = interactions("softmax", "multinomial", at={"expert.slopes": 0.0})
    squares = {i.leading for i in found.identities if len(i.leading) == 2 and "const" in i.leading[0]}
    assert {("expert.1.const",) * 2, ("expert.2.const",) * 2} <= squares


def test_least_squares_have_the_interaction_without_the_heat():
    found = interactions("softmax", "gaussian", n_features=1, objective="least_squares")
    assert "∂²u/∂gate.x1 ∂expert.const = ∂u/∂expert.x1" in texts(found)
    assert not any("variance" in i.text for i in found.essential)


def test_temperature_round_laplace_is_told_apart():
    assert not interactions("temperature(laplace)", "gaussian").first_order


def test_hierarchies_interact_through_their_outer_gate():
    found = interactions("hierarchical", "gaussian", n_features=1)
    assert any("expert.const" in i.leading and dict(i.terms).keys() == {("expert.x1",)} for i in found.essential)


@pytest.mark.parametrize("spec", [("softmax", "gaussian"), ("laplace", "gaussian"), ("softmax", "multinomial")])
def test_identities_hold_to_1e_10_on_fresh_rows(spec):
    assert max(i.residual for i in interactions(*spec).identities) < 1e-10


def test_third_derivatives_of_the_heat_equation_follow():
    found = interactions("constant", "gaussian", n_features=1, order=3)
    assert texts(found) == [HEAT]
    assert [i.leading for i in found.identities if i.follows]


@pytest.mark.parametrize("name", ["heat", "softmax"])
def test_listed_identities_in_arbitrary_precision(name):
    """By mpmath's own derivatives, at one point, to 1e-20: no code of ours."""
    mpmath.mp.dps = 40
    x, y = mpmath.mpf("0.7"), mpmath.mpf("-0.3")

    def u(beta, a, b, v):
        return mpmath.exp(beta * x) * mpmath.npdf(y, a * x + b, mpmath.sqrt(v))

    at = tuple(map(mpmath.mpf, ("0.4", "-1.1", "0.3", "0.8")))
    left, right = {"heat": ((0, 0, 2, 0), (2, (0, 0, 0, 1))), "softmax": ((1, 0, 1, 0), (1, (0, 1, 0, 0)))}[name]
    gap = mpmath.diff(u, at, left) - right[0] * mpmath.diff(u, at, right[1])
    assert abs(gap) < mpmath.mpf(10) ** -20


@parameters
class WaveParams:
    phases: np.ndarray = axes("expert", label="phase")
    slopes: np.ndarray = axes("expert", "feature")


@dataclass(frozen=True)
class Wave(Gate):
    """A gate that the package has never seen: h = sin(s'x + p) + 2 cos(s'x + p)."""

    name: ClassVar[str] = "wave"

    def layout(self, dims):
        return layout_of(WaveParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout):
        return own_columns(layout.index("phases"), layout.index("slopes"))

    def value(self, local, block, out):
        s = local @ block.Z
        out[:] = np.sin(s) + 2 * np.cos(s)

    def jac(self, local, block, value, out):
        s = local @ block.Z
        out[:] = (np.cos(s) - 2 * np.sin(s))[:, None] * block.Z

    def curv(self, local, block, value, weights, out):
        s = local @ block.Z
        out += np.einsum("kb,ub,vb->kuv", -weights * (np.sin(s) + 2 * np.cos(s)), block.Z, block.Z)

    def start(self, layout, block, resp, schema):
        raise NotImplementedError


def test_a_gate_of_the_users_own():
    found = interactions(Wave(), "gaussian", n_features=1)
    assert not_harmless(found) == [HEAT]
    assert "none of its own" not in str(found)
    assert "adds no interaction" in str(found)


def test_the_report_says_what_it_means():
    text = str(interactions("softmax", "gaussian"))
    assert "Rank 22 of 28" in text
    assert "n^{-1/(2 rbar(m))}" in text
    assert "slower than any power" in str(interactions("temperature", "gaussian"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"order": 4}, "order must be 1, 2 or 3"),
        ({"n_features": 0}, "n_features must be"),
        ({"objective": "l2"}, "objective must be"),
        ({"at": {"gate.slope": 0.0}}, "unknown parameter field 'gate.slope'"),
    ],
)
def test_bad_arguments(wrong, words):
    with pytest.raises(InputError, match=words):
        interactions("softmax", "gaussian", **wrong)


@pytest.mark.parametrize("name", ["quadratic", "norga", "topk", "threshold", "gaussian", "noisy_topk"])
def test_other_gates_have_an_answer(name):
    assert interactions(name, "gaussian").gap[0] > 1e-6


def test_no_clear_answer_is_said():
    """A sparsemax gate is linear in its scores, by other pieces on other rows."""
    with pytest.raises(InputError, match="no clear answer: independent derivatives keep"):
        interactions("sparsemax", "gaussian")
