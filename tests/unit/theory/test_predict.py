"""Rates that theory predicts: entries, answers, and their form over finite windows."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
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


def density(gate, slopes, intercepts, x, y):
    """Of four experts, two and two alike."""
    model = ms.MixtureOfExperts(gate=gate, expert="gaussian", n_experts=4)
    expert = {"intercepts": [0, 1] * 2, "slopes": [[1.5], [-1.5]] * 2, "variances": [0.15, 0.3] * 2}
    params = model.params(gate={"slopes": np.reshape(slopes, (4, 1)), "intercepts": intercepts}, expert=expert)
    return np.exp(model.log_density(params, x, y))


@pytest.mark.parametrize(
    ("gate", "stays", "words"),
    [
        ("softmax", True, "cosh(d'x) cancels"),
        ("softmax(transform='tanh')", True, "cosh(d'M(x)) cancels"),
        ("topk(n_active=4)", True, "cosh(d'x) cancels"),
        ("topk(n_active=1)", True, "the same expert is the first on every row"),
        ("topk(n_active=2)", False, "number of active experts"),
        ("threshold", False, ""),
    ],
)
def test_a_ridge_is_claimed_where_the_density_stays(gate, stays, words):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-2, 2, (400, 1)), rng.normal(size=400)
    at = [density(gate, [2.0 + d, d, 2.0 - d, -d], [0, 0.3] * 2, x, y) for d in (0.0, 1.5)]
    assert bool(np.abs(at[1] - at[0]).max() < 1e-13) is stays
    prediction = predicted_rate(gate, "gaussian", n_experts=4, n_true=2)
    assert ("ridge" in prediction.why) is stays
    assert words in prediction.theorem


@pytest.mark.parametrize("gate", ["quadratic", "gaussian", "quadratic(linear=False)"])
def test_quadratic_logits_are_split_as_such(gate):
    assert "logits q(x) + d(x)" in predicted_rate(gate, "gaussian", n_experts=4, n_true=2).theorem


def test_numbers_of_experts_tell_the_case_of_topk():
    few = predicted_rate("topk(n_active=2)", "gaussian", n_experts=4, n_true=2)
    assert few.regime == "too few active experts"
    assert few.density.exponent == 0
    enough = predicted_rate("topk(n_active=3)", "gaussian", n_experts=4, n_true=2)
    assert enough.regime == "enough active experts"
    assert "at most 1 active" in str(enough)


def test_hierarchies_are_counted_group_by_group():
    lost = predicted_rate("hierarchical", "gaussian", n_experts=4, n_true=2)
    assert lost.cell == 2
    assert "within that group" in lost.why
    fine = predicted_rate("hierarchical", "gaussian", n_experts=5, n_true=4)
    assert (fine.cell, fine.loss) == (2, ROOT)
    assert predicted_rate("hierarchical(softmax, laplace)", "gaussian", n_experts=4, n_true=2).loss == ROOT
    assert not predicted_rate("hierarchical(groups=(2, 2, 2))", "gaussian", n_experts=6, n_true=2).known


def test_one_true_expert_leaves_the_gate_nothing_to_say():
    one = predicted_rate("softmax", "gaussian", n_experts=1, n_true=1)
    assert set(one.rates) == {"expert.slopes", "expert.intercepts", "expert.variances"}
    assert "no say" in predicted_rate("laplace", "gaussian", n_experts=2, n_true=1).why
    joint = predicted_rate("gaussian(likelihood='joint')", "gaussian", n_experts=1, n_true=1)
    assert "gate.centres" in joint.rates


@pytest.mark.parametrize(
    ("transform", "known"), [("'tanh'", True), ("'identity'", True), ("'relu'", False), ("'gelu'", False)]
)
def test_bounded_transforms_are_told_from_others(transform, known):
    found = predicted_rate(f"softmax(transform={transform})", "multinomial")
    assert found.known is known
    assert ("modified" in found.theorem) is (transform == "'tanh'")


def test_a_users_transform_is_not_known_to_be_bounded():
    assert not predicted_rate(ms.gates.Softmax(transform=np.tanh), "multinomial").known


def test_vanishing_slopes_leave_an_exact_model_regular():
    """By first derivatives of one atom, and by the density of a whole model with a constant expert."""
    rate = predicted_rate("softmax", "multinomial", regime="some expert's slopes vanish")
    assert (rate.status, set(exponents(rate).values())) == (Status.DERIVED, {Fraction(1, 2)})
    model = ms.MixtureOfExperts(gate="softmax", expert="multinomial", n_experts=2)
    expert = {"intercepts": [[0.2, 0.1], [1.0, -0.5]], "slopes": [[[1.0], [0.5]], [[0.0], [0.0]]]}
    params = model.params(gate={"slopes": [[1.0], [0.2]], "intercepts": [0.0, 0.3]}, expert=expert)
    assert all("a common shift" in flat.words for flat in ms.theory.flat_directions(model, params))


def test_what_was_read_in_abstracts_is_not_called_proved():
    for entry in ENTRIES:
        if "abstract" in entry.theorem:
            assert entry.status in (Status.ABSTRACT, Status.RECALLED)


def test_equal_powers_have_equal_status():
    """The softmax powers, not believed to be sharp for one gate, are not believed to be for others."""
    alike = {"softmax-gaussian-over", "shared-routed-over", "sigmoid-gaussian-over-sparse"}
    assert {entry.status for entry in ENTRIES if entry.key in alike} == {Status.UPPER_BOUND}


def test_a_free_temperature_makes_up_for_lengths():
    found = predicted_rate(
        "cosine(perturbation=0.5)", "gaussian(form='sigmoid')", specification="over", objective="least_squares"
    )
    assert not {"gate.slopes", "gate.temperature"} & set(found.rates)
    assert "makes up for all lengths" in str(found)


@pytest.mark.parametrize("expert", ["known", "zero"])
def test_experts_without_parameters_are_said_to_be(expert):
    assert "nothing to differentiate by" in str(predicted_rate("constant", expert))


@pytest.mark.parametrize("gate", ["sparsemax", "entmax"])
def test_gates_by_pieces_are_said_to_be(gate):
    assert "another formula for every set" in str(predicted_rate(gate, "gaussian"))


@pytest.mark.parametrize(
    ("gate", "expert", "options", "exponent"),
    [
        ("quadratic(linear=False)", "gaussian", {"specification": "over"}, Fraction(1, 4)),
        ("softmax", "gaussian(form='sigmoid')", {"specification": "over"}, Fraction(1, 4)),
        ("norga(activation='identity')", "gaussian", {"specification": "over", "objective": "least_squares"}, None),
        ("unnormalised_sigmoid", "gaussian", {"specification": "over", "objective": "least_squares"}, None),
    ],
)
def test_further_rows(gate, expert, options, exponent):
    found = predicted_rate(gate, expert, **options)
    assert found.known
    assert next(iter(found.rates.values())).exponent == exponent


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
        ("hierarchical(softmax, laplace)", "gaussian", "hierarchical-sl-exact"),
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


def test_rates_take_numbers_of_numpy_and_arrays():
    sizes = np.array([1000, 10_000])
    np.testing.assert_allclose(ROOT.at(sizes), [ROOT.at(1e3), ROOT.at(np.int64(10_000))], rtol=1e-15)
    assert isinstance(ROOT.at(np.int64(1000)), float)
    assert ROOT.slopes(np.int64(1000), np.float64(1e5)) == ROOT.slopes(1e3, 1e5)


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
