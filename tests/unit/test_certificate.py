"""The certificate: what kind of optimum a fit reached, in numbers and in words."""

from __future__ import annotations

import json
import re
import warnings
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.certificate import Certificate, Status, examine
from moestat.errors import ConvergenceWarning
from moestat.model import log_jacobian
from moestat.solvers import EM, Problem
from tests.unit.draws import normal
from tests.unit.samples import problem_of, sample

N = 300


def fit_quietly(*args, **options):
    """A fit that may end anywhere; tests of the warnings call `ms.fit` themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)
        return ms.fit(*args, **options)


def rows():
    return sample(2, n=N, seed=3)


# ------------------------------------------------------------------------------------ one fit of each kind
def interior():
    return fit_quietly(rows().model, rows().X, rows().y, n_starts=6)


def constant_column():
    """A second covariate that never varies: its slopes and gate slopes mean nothing."""
    return fit_quietly(rows().model, np.column_stack([rows().X, np.ones(N)]), rows().y, n_starts=6)


def doubled_column():
    return fit_quietly(rows().model, np.column_stack([rows().X, rows().X]), rows().y, n_starts=6)


def equal_experts():
    """Experts 2 and 3 are held at the same line: the data see the sum of their weights alone."""
    line = rows().truth.expert
    fixed = {f"expert.{name}": getattr(line, name)[[0, 1, 1]] for name in ("slopes", "intercepts", "variances")}
    model = ms.MixtureOfExperts(n_experts=3, fixed=fixed)
    return fit_quietly(model, rows().X, rows().y, np.empty((N, 0)), n_starts=2)


def separated_classes():
    x = np.linspace(-1, 1, 40)
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    return fit_quietly(model, x, np.where(x > 0.1, "yes", "no"))


def separated_reference():
    """Three classes: one side of the origin has the first alone, the other two mix on the other side.

    The log odds of both against the first run away together, while their difference is well determined.
    """
    x = np.linspace(-1, 1, 60)
    rest = np.where(np.random.default_rng(1).random(60) < 0.5, "b", "c")
    return fit_quietly(ms.MixtureOfExperts(expert="multinomial", n_experts=1), x, np.where(x < 0, "a", rest))


def separating_gate():
    """Two segments with a gap between them: the gate becomes a step, which no finite parameters reach."""
    x = np.r_[np.linspace(0, 1, 30), np.linspace(2, 3, 30)]
    y = np.r_[3 * x[:30], 3 - 3 * (x[30:] - 2)] + 0.1 * normal(60, seed=1)
    return fit_quietly(ms.MixtureOfExperts(), x, y, n_starts=40)


def spike():
    """A quarter of the rows are one point."""
    x = np.r_[np.linspace(0, 1, 30), np.full(10, 0.5)]
    y = np.r_[normal(30, seed=2), np.full(10, 5.0)]
    return fit_quietly(ms.MixtureOfExperts(), x, y, n_starts=6)


def spike_beside_interior():
    """Ten rows on a perfect line: a spike of higher likelihood beside a proper maximum."""
    x = np.r_[np.linspace(0, 1, 30), np.linspace(0, 1, 10)]
    y = np.r_[normal(30, seed=1), 3 + 2 * x[30:]]
    return fit_quietly(ms.MixtureOfExperts(), x, y)


def stopped_early():
    return fit_quietly(rows().model, rows().X, rows().y, n_starts=3, solver=EM(max_iter=2))


KINDS = {
    "interior": (interior, Status.STRICT_MAXIMUM),
    "constant column": (constant_column, Status.STRICT_MAXIMUM),
    "doubled column": (doubled_column, Status.STRICT_MAXIMUM),
    "equal experts": (equal_experts, Status.FLAT_MAXIMUM),
    "separated classes": (separated_classes, Status.RUNAWAY),
    "separated reference": (separated_reference, Status.RUNAWAY),
    "separating gate": (separating_gate, Status.RUNAWAY),
    "spike": (spike, Status.AT_FLOOR),
    "spike beside interior": (spike_beside_interior, Status.STRICT_MAXIMUM),
    "stopped early": (stopped_early, Status.NOT_CONVERGED),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def fitted(kind):
    return KINDS[kind][0]()


@every_kind
def test_the_status_is_the_kind_of_optimum(kind):
    assert fitted(kind).certificate.status is KINDS[kind][1]


@every_kind
def test_only_a_strict_interior_maximum_is_trusted(kind):
    certificate = fitted(kind).certificate
    crowded_out = kind == "spike beside interior"  # most starts end in the spike, more than a hundred nats higher
    assert certificate.trusted is (KINDS[kind][1] is Status.STRICT_MAXIMUM and not crowded_out)
    assert (certificate.status.trusted and bool(certificate.higher)) is crowded_out


def test_maxima_and_suprema_come_before_spikes_and_unfinished_points():
    """The likelihood has no bound at a spike, so there it is no measure of merit."""
    ranks = [status.rank for status in (Status.STRICT_MAXIMUM, Status.AT_FLOOR, Status.SADDLE, Status.NOT_CONVERGED)]
    assert ranks == sorted(set(ranks))
    assert Status.STRICT_MAXIMUM.rank < Status.FLAT_MAXIMUM.rank == Status.RUNAWAY.rank < Status.AT_FLOOR.rank


# ------------------------------------------------------------------------------------ evidence
@every_kind
def test_masses_share_out_the_rows(kind):
    results = fitted(kind)
    assert results.certificate.optimum.masses.sum() == pytest.approx(results.nobs, rel=1e-12)


@every_kind
def test_the_gradient_is_zero_unless_stopped_early(kind):
    """The raw gradient of a spike is rounded above the limit; in units of the information it is zero."""
    certificate = fitted(kind).certificate
    assert (certificate.optimum.fine_gradient <= 1e-8) is (kind != "stopped early")
    assert certificate.grad_norm >= certificate.optimum.fine_gradient


def test_every_direction_is_an_invariance_or_has_an_eigenvalue():
    """Ten parameters, two of which only translate the gate."""
    optimum = fitted("interior").certificate.optimum
    assert optimum.invariances == 2
    assert optimum.eigenvalues.size == 8
    assert (np.diff(optimum.eigenvalues) >= 0).all()
    assert optimum.eigenvalues[0] > 0


def test_eigenvalues_do_not_depend_on_the_units():
    """Multiplying the rows by thousands changes no curvature per row (coordinates scale by powers of two)."""
    scaled = fit_quietly(rows().model, 1000 * rows().X, 3000 * rows().y, n_starts=6)
    assert scaled.certificate.status is Status.STRICT_MAXIMUM
    ratio = scaled.certificate.eigenvalues / fitted("interior").certificate.eigenvalues
    assert (ratio > 1 / 4).all()
    assert (ratio < 4).all()


N_IDENTIFIED = {"interior": 8, "constant column": 8, "doubled column": 8, "equal experts": 1, "spike": 8}


@pytest.mark.parametrize("kind", N_IDENTIFIED)
def test_flat_directions_do_not_count_as_parameters(kind):
    """Two lines and their gate have eight, on a floor or not; a constant or doubled column adds none."""
    assert fitted(kind).certificate.optimum.n_identified == N_IDENTIFIED[kind]
    assert fitted(kind).df_model == N_IDENTIFIED[kind]


def directions_in(texts):
    """Directions in words as sets of names."""
    return {frozenset(re.findall(r"(\S+) \([+-]", text)) for text in texts}


DEFICIENT = {"constant column": ("in X and Z, x2 is constant",), "doubled column": ("in X and Z, x2 = x1",)}


@pytest.mark.parametrize("kind", DEFICIENT)
def test_deficient_columns_are_named_and_set_aside(kind, monkeypatch):
    """They leave a maximum of the likelihood strict; their coefficients are those of least norm."""
    certificate = fitted(kind).certificate
    assert certificate.deficient == DEFICIENT[kind]
    assert certificate.optimum.flat == certificate.optimum.runaway == ()
    assert f"rank deficient     {DEFICIENT[kind][0]}" in str(certificate)
    monkeypatch.setitem(globals(), "fit_quietly", ms.fit)
    with pytest.warns(ms.RankDeficientWarning, match=DEFICIENT[kind][0]):
        KINDS[kind][0]()
    slopes = fitted(kind).params.expert.slopes
    np.testing.assert_allclose(slopes[:, 1], slopes[:, 0] * (kind == "doubled column"), rtol=1e-10, atol=1e-14)


def test_the_weights_of_equal_experts_trade_off():
    """The third weight is the reference of the gate, so the words may name all three."""
    (words,) = fitted("equal experts").certificate.optimum.flat
    assert {"gate[2].const", "gate[3].const"} <= next(iter(directions_in([words])))


def problem_of_fit(results):
    return Problem.of(results.model, results.source)


@pytest.mark.parametrize("kind", ["constant column", "doubled column", "equal experts"])
def test_the_likelihood_does_not_see_flat_directions(kind):
    """A short step along one of them changes nothing; along an intercept it costs. Flat curves bend, hence short."""
    results = fitted(kind)
    problem = problem_of_fit(results)
    top = problem.passes.loglik(results.theta)
    lost = np.vstack([results.certificate.optimum.lost, problem.null])
    assert len(lost)
    np.testing.assert_allclose(np.linalg.norm(lost, axis=1), 1.0, rtol=1e-12)
    for direction in lost:
        assert problem.passes.loglik(results.theta + 3e-3 * direction) == pytest.approx(top, abs=1e-9)
    seen = np.zeros(results.theta.size)
    seen[problem.layout.index("expert.intercepts")[0]] = 3e-3
    assert problem.passes.loglik(results.theta + seen) < top - 1e-4


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("separated classes", {"expert[1].yes.x1"}),
        ("separated reference", {"expert[1].b.x1", "expert[1].c.x1"}),
        ("separating gate", {"gate[1].x1", "gate[2].x1"}),
    ],
)
def test_the_way_to_infinity_is_named(kind, names):
    optimum = fitted(kind).certificate.optimum
    assert names <= set().union(*directions_in(optimum.runaway))
    assert optimum.flat == ()


@pytest.mark.parametrize("kind", ["separated classes", "separated reference", "separating gate"])
def test_the_likelihood_rises_along_a_runaway_direction(kind):
    """The direction points uphill, and after a step there is still a way to go."""
    results = fitted(kind)
    problem = problem_of_fit(results)
    (*_, direction) = results.certificate.optimum.lost
    here, near, far = (problem.passes.loglik(results.theta + step * direction) for step in (0.0, 0.05, 0.1))
    assert here < near < far


def test_a_floor_is_named():
    optimum = fitted("spike").certificate.optimum
    assert optimum.floors == ("expert[2].variance",)
    assert not optimum.movable[fitted("spike").all_names.index("expert[2].variance")]
    assert optimum.movable.sum() == optimum.movable.size - 1


def test_an_expert_with_almost_no_mass_is_named():
    """One row in three thousand has an expert of its own."""
    truth = rows().truth
    expert = {"slopes": truth.expert.slopes, "intercepts": [0.0, 1e3], "variances": [1.0, 1.0]}
    params = rows().model.params(gate=truth.gate, expert=expert)
    optimum, _ = examined(rows().model, params, rows().X, rows().y)
    assert optimum.empty == (2,)


# ------------------------------------------------------------------------------------ points that are no fit
def examined(model, params, X, y):
    problem = problem_of(model, X, y)
    source = problem.passes.source
    theta = model.to_theta(params, source.schema, source.coordinates)
    return examine(problem, theta, model.names(source.schema), log_jacobian(source))


def test_two_equal_experts_are_a_saddle():
    """The regression of all rows, twice: the score is zero, and splitting it leads up."""
    line = ms.fit(ms.MixtureOfExperts(n_experts=1), rows().X, rows().y)
    names = ("slopes", "intercepts", "variances")
    expert = {name: np.repeat(getattr(line.params.expert, name), 2, axis=0) for name in names}
    params = rows().model.params(gate={"slopes": [[0.0], [0.0]], "intercepts": [0.0, 0.0]}, expert=expert)
    optimum, _ = examined(rows().model, params, rows().X, rows().y)
    assert optimum.status is Status.SADDLE
    assert optimum.gradient <= 1e-12
    assert optimum.eigenvalues[0] < -0.01
    assert optimum.loglik == pytest.approx(line.llf, rel=1e-12)


def test_the_truth_is_no_maximum():
    optimum, sums = examined(rows().model, rows().truth, rows().X, rows().y)
    assert optimum.status is Status.NOT_CONVERGED
    assert optimum.loglik == pytest.approx(rows().model.loglik(rows().truth, rows().X, rows().y), rel=1e-12)
    assert np.abs(sums.score).max() / N > 1e-3
    assert optimum.runaway == ()  # a long way to go is no way to infinity


# ------------------------------------------------------------------------------------ starts and rivals
@every_kind
def test_every_finished_start_is_accounted_for(kind):
    c = fitted(kind).certificate
    assert c.n_reached + sum(rival.n_starts for rival in c.rivals) == c.n_finished == c.n_starts


def test_a_spike_of_higher_likelihood_ranks_below_an_interior_maximum():
    results = fitted("spike beside interior")
    (rival,) = (r for r in results.certificate.rivals if r.status is Status.AT_FLOOR)
    assert rival.loglik > results.llf + 10
    assert results.certificate.optimum.floors == ()


def test_a_supremum_of_higher_likelihood_ranks_above_an_interior_maximum():
    """The step between the segments is the best description there is, though no finite gate reaches it."""
    results = fitted("separating gate")
    (rival,) = results.certificate.rivals
    assert rival.status is Status.STRICT_MAXIMUM
    assert rival.loglik < results.llf - 100


def test_rivals_of_one_kind_come_in_order_of_likelihood():
    logliks = [rival.loglik for rival in fitted("spike").certificate.rivals]
    assert logliks == sorted(logliks, reverse=True)
    assert logliks[0] < fitted("spike").llf


# ------------------------------------------------------------------------------------ storage
@every_kind
def test_a_certificate_survives_being_written_as_json(kind):
    c = fitted(kind).certificate
    back = Certificate.from_dict(json.loads(json.dumps(c.to_dict())))
    assert str(back) == str(c)
    assert back.to_dict() == c.to_dict()
    for name in ("eigenvalues", "lost", "masses", "movable"):
        one, other = getattr(c.optimum, name), getattr(back.optimum, name)
        np.testing.assert_array_equal(one, other)
        assert one.shape == other.shape
        assert one.dtype == other.dtype


# ------------------------------------------------------------------------------------ words
@every_kind
def test_the_verdict_says_what_matters(kind):
    results = fitted(kind)
    c, text = results.certificate, str(results.certificate)
    assert text.startswith("Verdict: ")
    assert f"{c.loglik:.10g} over {c.n_rows:g} rows" in text
    assert re.search(rf"{c.n_reached} of {c.n_starts} starts? reached this solution", text)
    assert c.stop in text
    assert all(words in text for words in (*c.optimum.flat, *c.optimum.runaway, *c.optimum.floors))
    assert max(map(len, text.splitlines())) <= 120


HEADLINES = {
    "interior": "a strict interior maximum of the likelihood.",
    "equal experts": "a maximum with flat directions: not every parameter is identified.",
    "separated classes": "no finite maximum: the likelihood rises towards its supremum along a ray",
    "spike": "a spike: a variance sits on its floor",
    "stopped early": "not converged: the gradient is not zero; do not use these estimates.",
}


@pytest.mark.parametrize("kind", HEADLINES)
def test_the_headline_says_the_kind(kind):
    assert str(fitted(kind).certificate).splitlines()[0].startswith(f"Verdict: {HEADLINES[kind]}")


def test_the_gradient_is_called_zero_or_not():
    assert "per row in standardised coordinates: zero" in str(fitted("interior").certificate)
    assert "per row in standardised coordinates: NOT zero" in str(fitted("stopped early").certificate)


def test_a_spike_beside_the_solution_is_listed():
    rival = fitted("spike beside interior").certificate.rivals[-1]
    text = str(fitted("spike beside interior").certificate)
    assert f"{rival.n_starts} ended at {rival.loglik:.6g} (+" in text
    assert "maximum on the variance floor (a spike)" in text


def test_a_solution_seen_once_is_called_doubtful():
    assert "seen once only" in str(fitted("stopped early").certificate)
    assert "seen once only" not in str(fitted("interior").certificate)


ADVICE = {
    "equal experts": "maximum with flat directions. .*try fewer experts or covariates",
    "separated classes": "supremum at infinity. .*bound it, use fewer covariates or experts, or more rows",
    "spike": r"maximum on the variance floor \(a spike\)\. .*raise n_starts, bound the variances, or try fewer experts",
    "stopped early": "not converged. Raise the solver's max_iter, or use the default solver",
}


@pytest.mark.parametrize("kind", ADVICE)
def test_a_fit_that_ends_elsewhere_warns_with_advice(kind, monkeypatch):
    """Every text points to the certificate."""
    monkeypatch.setitem(globals(), "fit_quietly", ms.fit)
    with pytest.warns(ConvergenceWarning, match=rf"The fit ended at: {ADVICE[kind]}.*See results\.certificate\."):
        KINDS[kind][0]()


def test_a_strict_maximum_does_not_warn(monkeypatch):
    monkeypatch.setitem(globals(), "fit_quietly", ms.fit)
    interior()


@pytest.mark.parametrize("n_experts", [1, 2])
def test_classes_predicted_with_certainty_are_a_supremum_at_infinity(n_experts):
    """Complete separation: the likelihood is at its bound of one, and nothing is left of the information."""
    x = np.arange(20.0)
    with pytest.warns(ConvergenceWarning, match="separates"):
        results = ms.fit(ms.MixtureOfExperts(expert="multinomial", n_experts=n_experts), x, x > 9.5, n_starts=6)
    assert results.certificate.status is Status.RUNAWAY
    assert -1e-6 < results.llf <= 0.0
    assert not results.certificate.optimum.flat
