"""Rates that theory predicts: entries, answers, and their form over finite windows."""

from __future__ import annotations

from fractions import Fraction
from math import log

import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.experts import EXPERTS
from moestat.expressions import parse
from moestat.gates import GATES
from moestat.theory.entries import expert_loss, gate_loss
from moestat.theory.powers import HALF, ONE, SQUARE, SYSTEM
from moestat.theory.rates import ROOT, Rate, rate_of
from moestat.theory.theorems import ENTRIES, Status

predicted_rate = ms.theory.predicted_rate


def exponents(prediction):
    return {name: rate.exponent for name, rate in prediction.rates.items()}


@pytest.mark.parametrize(
    ("cell", "location", "variance"), [(2, Fraction(1, 8), Fraction(1, 4)), (3, Fraction(1, 12), Fraction(1, 6))]
)
def test_published_powers_of_the_softmax_gate(cell, location, variance):
    """Table 2 of arXiv 2402.03226."""
    found = exponents(predicted_rate("softmax", "gaussian", specification="over", cell=cell))
    assert found == {
        "gate.slopes": location,
        "expert.slopes": variance,
        "expert.intercepts": location,
        "expert.variances": variance,
    }


def test_sharp_powers_are_a_conjecture():
    sharp = predicted_rate("softmax", "gaussian", n_experts=4, n_true=3, variant="sharp")
    assert sharp.status is Status.CONJECTURE
    assert exponents(sharp)["gate.slopes"] == Fraction(1, 4)
    assert "n^{-1/4}" in str(sharp)


def test_laplace_gates_keep_slopes_at_a_quarter():
    found = exponents(predicted_rate("laplace", "gaussian", specification="over", cell=3))
    assert (found["gate.centres"], found["expert.slopes"]) == (Fraction(1, 4),) * 2
    assert (found["expert.intercepts"], found["expert.variances"]) == (Fraction(1, 12), Fraction(1, 6))


def test_the_number_of_experts_decides():
    exact = predicted_rate("softmax", "gaussian", n_experts=2, n_true=2)
    assert exact.specification == "exact"
    assert set(exponents(exact).values()) == {Fraction(1, 2)}
    assert predicted_rate("softmax", "gaussian", n_experts=5, n_true=3).cell == 3


@pytest.mark.parametrize("gate", ["softmax", "temperature", "quadratic", "softmax(transform='tanh')"])
def test_twice_as_many_experts_have_no_rate(gate):
    """Linear logits: splitting every atom by one factor leaves the density alone; distances do not allow it."""
    prediction = predicted_rate(gate, "gaussian", n_experts=4, n_true=2)
    assert prediction.loss.exponent is None
    assert "ridge" in prediction.why
    assert predicted_rate("laplace", "gaussian", n_experts=4, n_true=2).loss == ROOT


def test_what_no_theorem_covers_is_said():
    prediction = predicted_rate("norga", "poisson")
    assert not prediction.known
    assert "No theorem known" in str(prediction)
    assert "First derivatives are independent" in str(prediction)
    assert prediction.identities.rank > 0


def test_wrapped_gates_are_no_softmax():
    assert not predicted_rate("temperature(laplace)", "gaussian").known
    assert not predicted_rate("topk(laplace)", "gaussian").known


def test_what_has_no_answer_at_all_is_said():
    assert "gave no answer" in str(predicted_rate("sparsemax", "gaussian"))


def test_regimes_are_asked_for():
    usual = predicted_rate("softmax", "multinomial", specification="over")
    other = predicted_rate("softmax", "multinomial", specification="over", regime="some expert's slopes vanish")
    assert exponents(usual)["gate.slopes"] == Fraction(1, 4)
    assert other.loss.exponent is None
    assert any("vanish" in text for text in usual.others)


@pytest.mark.parametrize(
    ("gate", "expert", "key"),
    [
        (ms.gates.Softmax(), ms.experts.Gaussian(), "softmax-gaussian-exact"),
        ("topk(n_active=1)", "gaussian", "top1-gaussian-exact"),
        ("hierarchical(softmax, laplace)", "gaussian", None),
        ("activation(activation='identity')", "gaussian", "activation-homogeneous-exact"),
        ("softmax", ("known", "gaussian"), "contaminated-exact"),
        ("hierarchical(constant(weights=(0.5, 0.5)), inner=(constant, softmax))", "gaussian", "shared-routed-exact"),
    ],
)
def test_components_of_every_form_find_their_entry(gate, expert, key):
    prediction = predicted_rate(gate, expert)
    theorem = next((entry.theorem for entry in ENTRIES if entry.key == key), "")
    assert prediction.theorem == theorem


def test_entries_are_whole():
    keys = [entry.key for entry in ENTRIES]
    assert len(set(keys)) == len(keys)
    for entry in ENTRIES:
        assert entry.gate.name in GATES
        assert entry.expert.name in {*EXPERTS, "mixed"}
        assert entry.source.arxiv or entry.status in (Status.DERIVED, Status.CONJECTURE)
        assert entry.powers or entry.rates or entry.loss.words
        assert entry.why[0].isupper()
        assert not entry.why.endswith(".")


def test_no_two_entries_answer_the_same_question():
    asked = [(e.gate, e.expert, e.specification, e.regime, e.objective, e.variant) for e in ENTRIES]
    texts = [(a[0].text, a[1].text, *a[2:]) for a in asked]
    assert len(set(texts)) == len(texts)


def test_the_table_has_a_row_for_every_entry():
    rows = ms.theory.rates_table().splitlines()
    assert len(rows) == len(ENTRIES) + 2
    for entry, row in zip(ENTRIES, rows[2:], strict=True):
        assert row.count("|") == rows[0].count("|")
        assert f"| {entry.status.value} |" in row


def test_the_answer_tells_rate_reason_status_and_source():
    text = str(predicted_rate("softmax", "gaussian", n_experts=3, n_true=2))
    for part in ("n^{-1/8}", "Why: A Gaussian's second derivative", "published upper bound", "arXiv 2305.03288"):
        assert part in text


@pytest.mark.parametrize(
    ("gate", "variant"),
    [
        ("softmax", "sharp"),
        *((gate, "published") for gate in ("softmax", "laplace", "constant", "activation", "topk")),
        ("gaussian(likelihood='joint')", "published"),
    ],
)
def test_rates_and_losses_have_the_same_powers(gate, variant):
    """The theorems' powers are those of the losses that `voronoi_loss` computes."""
    gate_entry, expert_entry = gate_loss(parse(gate, "gate", GATES)), expert_loss(EXPERTS["gaussian"]())
    expected = {f"gate.{name}": power for name, power in gate_entry.published.items()}
    expected |= {f"expert.{name}": power for name, power in expert_entry.alone.items()}
    if gate_entry.couples:
        expected |= {f"expert.{name}": power for name, power in expert_entry.coupled.items()}
        if variant == "sharp":
            expected |= {f"gate.{name}": power for name, power in gate_entry.sharp.items()}
            expected |= {f"expert.{name}": power for name, power in expert_entry.sharp.items()}
    for m in (2, 3):
        found = exponents(predicted_rate(gate, "gaussian", specification="over", cell=m, variant=variant))
        assert {name: 1 / (2 * float(rate)) for name, rate in found.items()} == pytest.approx(
            {name: power.at(m, r=1.0) for name, power in expected.items()}
        )


# --------------------------------------------------------------------------------------- rates as functions of n
def test_effective_slopes_have_the_logarithm():
    """(log n / n)^{1/2} over [1e3, 1e5]: -1/2 + log(5/3) / (2 log 100)."""
    assert ROOT.effective_slope(1e3, 1e5) == pytest.approx(-0.5 + log(5 / 3) / (2 * log(100)), rel=1e-14)
    assert ROOT.slopes(1e3, 1e5) == pytest.approx((-0.5, -0.4445), abs=1e-4)
    slope = log(ROOT.at(1e5) / ROOT.at(1e3)) / log(100)
    assert slope == pytest.approx(ROOT.effective_slope(1e3, 1e5), rel=1e-13)


@pytest.mark.parametrize(
    ("power", "m", "exponent"), [(ONE, 5, "1/2"), (SQUARE, 2, "1/4"), (SYSTEM, 3, "1/12"), (HALF, 4, "1/8")]
)
def test_powers_give_rates(power, m, exponent):
    rate = rate_of(power, m)
    assert (rate.exponent, rate.log_power) == (Fraction(exponent),) * 2
    assert str(rate) == f"n^{{-{exponent}}}"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Rate(None).at(10), "this rate is no power of n"),
        (lambda: ROOT.at(1), "n must be a finite number of rows larger than 1; got 1"),
        (lambda: ROOT.effective_slope(100, 10), "high must be larger than low=100; got 10"),
        (lambda: predicted_rate("softmax", "gaussian", specification="under"), "specification must be one of"),
        (lambda: predicted_rate("softmax", "gaussian", n_experts=2, n_true=3), "n_experts=2 is less than n_true=3"),
        (
            lambda: predicted_rate("softmax", "gaussian", n_experts=3, n_true=3, specification="over"),
            "does not go with",
        ),
        (lambda: predicted_rate("softmax", "gaussian", n_experts=0), "n_experts must be a whole number"),
        (lambda: predicted_rate("softmax", "gaussian", n_experts=3, n_true=2, cell=3), "cell must be"),
        (lambda: predicted_rate("softmax", "gaussian", cell=2), "cell must be 1 in an exactly specified model"),
        (lambda: predicted_rate("softmax", "gaussian", regime="x"), "regime must be one of"),
        (lambda: predicted_rate("softmax", "gaussian", objective="x"), "objective must be one of"),
        (lambda: predicted_rate("soft", "gaussian"), "gate must be one of"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()
