"""Bounds by field: what is refused, where the fit ends, and what the certificate says."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize

import moestat as ms
from moestat.bounds import check_bounds
from moestat.errors import ConvergenceWarning, InputError, NotIdentifiedError
from moestat.solvers import EM, Problem, TrustRegionNewton, solve
from tests.unit.draws import normal
from tests.unit.samples import sample

N = 200


def rows():
    return sample(2, n=N)


def fit(bounds, **options):
    return ms.fit(rows().model, 3 + 2 * rows().X, 10 * rows().y, bounds=bounds, **{"n_starts": 6} | options)


# ------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (5.0, "bounds must map parameter fields to bounds"),
        ({"gate.slope": 5.0}, "unknown field 'gate.slope'; the model has: gate.intercepts, gate.slopes"),
        ({"expert.variances": 2.0}, r"must be a pair \(lower, upper\), because the field is positive; got 2.0"),
        ({"expert.variances": (-1.0, 2.0)}, "must not be negative, because the field is positive"),
        ({"gate.slopes": -5.0}, "as one number c means -c to c and must be positive; got -5.0"),
        ({"gate.slopes": (1.0, -1.0)}, "exclude each other: every lower end must lie below its upper end"),
        ({"gate.slopes": (1.0, 1.0)}, "exclude each other.*use the model's fixed="),
        ({"gate.slopes": (1.0, 2.0, 3.0)}, r"must be a number or a pair \(lower, upper\)"),
        ({"gate.slopes": "wide"}, "must be numbers or have shape"),
        ({"gate.slopes": (np.zeros(3), 1.0)}, r"must be numbers or have shape \(2, 1\)"),
        ({"gate.slopes": (np.nan, 1.0)}, "must not hold NaN"),
        ({"expert.variances": (0.0, 1e-30)}, "end below the smallest value that the data allow"),
    ],
)
def test_bounds_that_are_refused(bounds, message):
    with pytest.raises(InputError, match=message):
        fit(bounds)


def test_a_held_field_takes_no_bounds():
    model = ms.MixtureOfExperts(fixed={"gate.slopes": 0.0})
    with pytest.raises(InputError, match="bounds a field that the model holds fixed"):
        ms.fit(model, rows().X, rows().y, bounds={"gate.slopes": 5.0})


def test_a_start_outside_the_bounds_is_refused_by_name():
    with pytest.raises(InputError, match=r"start lies outside the bounds in .*expert\[1\]\.x1"):
        ms.fit(rows().model, rows().X, rows().y, start=rows().truth, bounds={"expert.slopes": 1e-3})


# ------------------------------------------------------------------------------------ where the fit ends
def test_bounds_that_hold_nothing_back_change_nothing():
    free = fit(None)
    boxed = fit({"gate.slopes": 1e3, "gate.intercepts": 1e4, "expert.variances": (1e-6, 1e8)})
    assert boxed.certificate.status is ms.Status.STRICT_MAXIMUM
    assert boxed.llf == pytest.approx(free.llf, abs=1e-8)
    np.testing.assert_allclose(boxed.estimates, free.estimates, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(boxed.bse, free.bse, rtol=1e-5)


TIGHT = {"gate.slopes": 0.3, "expert.slopes": (-2.0, 6.0), "expert.variances": (30.0, None)}


def test_the_estimate_lies_inside_and_the_walls_that_hold_it_are_named():
    results = fit(TIGHT)
    params, optimum = results.params, results.certificate.optimum
    assert (np.abs(params.gate.slopes) <= 0.3 * (1 + 1e-12)).all()
    assert (params.expert.variances >= 30.0 * (1 - 1e-12)).all()
    assert ((params.expert.slopes >= -2 - 1e-12) & (params.expert.slopes <= 6 + 1e-12)).all()
    assert optimum.status is ms.Status.AT_BOUND
    assert results.certificate.trusted
    named = dict(zip(results.all_names, results._natural, strict=True))
    ends = {"gate": (-0.3, 0.3), "variance": (30.0,), "x1": (-2.0, 6.0)}
    for name in optimum.bounds:
        kind = "gate" if name.startswith("gate") else name.split(".")[1]
        assert min(abs(named[name] - end) for end in ends[kind]) < 1e-9
    assert "bounds             active: " in str(results.certificate)


def test_the_constrained_maximum_is_that_of_a_general_optimiser():
    """scipy's L-BFGS-B on the same likelihood, in the user's units, from the same point and from others."""
    results = fit(TIGHT)
    model, X, y = rows().model, 3 + 2 * rows().X, 10 * rows().y
    box = [(-0.3, 0.3)] * 2 + [(None, None)] * 2 + [(-2.0, 6.0)] * 2 + [(np.log(30.0), None)] * 2 + [(None, None)]

    def params(v):
        gate = {"slopes": v[:2, None], "intercepts": [v[8], 0.0]}
        return model.params(
            gate=gate, expert={"slopes": v[4:6, None], "intercepts": v[2:4], "variances": np.exp(v[6:8])}
        )

    def value(v):
        return -model.loglik(params(v), X, y)

    p = results.params
    here = np.r_[p.gate.slopes[:, 0], p.expert.intercepts, p.expert.slopes[:, 0], np.log(p.expert.variances)]
    here = np.r_[here, p.gate.intercepts[0] - p.gate.intercepts[1]]
    assert value(here) == pytest.approx(-results.llf, rel=1e-10)
    best = min(
        minimize(value, here + 0.3 * normal(9, seed=s), bounds=box, method="L-BFGS-B", options={"maxiter": 400}).fun
        for s in range(4)
    )
    assert -results.llf <= best + 1e-6


def test_no_covariance_for_what_a_wall_holds_back():
    results = fit(TIGHT)
    with pytest.raises(NotIdentifiedError, match=r"held back by the bounds: expert\[1\]\.x1"):
        _ = results.bse
    errors = results.standard_errors(allow_singular=True)
    blocked = [name for name in results.certificate.optimum.bounds if name in errors.index]
    assert errors[blocked].isna().all()
    assert errors.drop(blocked).notna().all()
    assert "not available" in str(results.summary())


@pytest.mark.parametrize("solver", [EM(max_iter=4000, rtol=None, gtol=1e-9), TrustRegionNewton()])
def test_every_solver_stays_inside_and_climbs(solver):
    model, X, y = rows().model, 3 + 2 * rows().X, 10 * rows().y
    bounds = check_bounds(model, model.data(X, y).schema, TIGHT)
    source = model.prepare(model.data(X, y), bounded=tuple(bounds))
    problem = Problem.of(model, source, bounds)
    best = fit(TIGHT)
    start = problem.admit(model.to_theta(best.params, source.schema, source.coordinates) + 0.2 * normal(10, seed=3))
    seen = []
    solution = solve(problem, solver, start, callback=lambda state: seen.append(state))
    for state in seen:
        assert problem.admits(state.theta)
    logliks = np.array([state.loglik for state in seen])
    assert (np.diff(logliks) >= -1e-11 * np.abs(logliks[1:])).all()
    assert solution.gradient < 1e-8


# ------------------------------------------------------------------------------------ what they are for
def separating():
    x = np.r_[np.linspace(0, 1, 30), np.linspace(2, 3, 30)]
    return x, np.r_[3 * x[:30], 3 - 3 * (x[30:] - 2)] + 0.1 * normal(60, seed=1)


def test_a_bounded_gate_does_not_run_away():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        results = ms.fit(ms.MixtureOfExperts(), *separating(), bounds={"gate.slopes": 5.0})
    slopes = results.params.gate.slopes[:, 0]
    assert results.certificate.status is ms.Status.AT_BOUND
    np.testing.assert_allclose(np.sort(slopes), [-5.0, 5.0], rtol=1e-12)


def test_a_bounded_variance_makes_no_spike():
    x = np.r_[np.linspace(0, 1, 30), np.full(10, 0.5)]
    y = np.r_[normal(30, seed=2), np.full(10, 5.0)]
    results = ms.fit(ms.MixtureOfExperts(), x, y, bounds={"expert.variances": (0.05, None)})
    assert results.certificate.status is ms.Status.AT_BOUND
    assert results.certificate.optimum.bounds == ("expert[2].variance",)
    assert results.params.expert.variances.min() == pytest.approx(0.05, rel=1e-12)


def test_the_reference_of_a_bounded_gate_is_shown():
    """Its row cannot be moved to zero inside the box, so the table gives it."""
    results = ms.fit(ms.MixtureOfExperts(), *separating(), bounds={"gate.slopes": 5.0})
    assert results.params.gate.slopes[-1, 0] != 0
    assert "Gate: expert 2" in str(results.summary())


def test_a_wall_takes_no_parameter_away_and_adds_none():
    """Two lines and their gate have eight, also where two walls hold the gate's two rows."""
    results = ms.fit(ms.MixtureOfExperts(), *separating(), bounds={"gate.slopes": 5.0})
    assert len(results.certificate.optimum.bounds) == 2
    assert results.df_model == 8
