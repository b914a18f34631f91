"""Solvers: what a step does, why a run stops, and where it ends."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

import moestat as ms
from moestat.data import Data
from moestat.errors import ConvergenceWarning, InputError
from moestat.experts import gaussian, least_squares
from moestat.solvers import (
    EM,
    SOLVERS,
    SQUAREM,
    ClassificationEM,
    EMThenNewton,
    Problem,
    Solver,
    Stop,
    TrustRegionNewton,
    solve,
    solver_named,
)
from moestat.solvers.newton import trust_region_step
from moestat.starts import StartLaw
from tests.unit import samples
from tests.unit.ascents import ROUND_OFF, STEPS, a_problem, assert_never_falls
from tests.unit.draws import few, normal
from tests.unit.samples import problem_of, sample


def start_of(problem, seed=0):
    """The first of the default starts that is drawn for this seed."""
    return next(iter(StartLaw.of(problem, seed))).theta


# ------------------------------------------------------------------------------------ EM
@pytest.mark.parametrize(
    "solver",
    [
        EM(max_iter=40, **STEPS),
        EM(max_iter=15, m_step="exact", **STEPS),
        ClassificationEM(max_iter=40, **STEPS),
        ClassificationEM(max_iter=15, m_step="exact", **STEPS),
        SQUAREM(max_iter=15, **STEPS),
        SQUAREM(max_iter=5, em=EM(m_step="exact"), **STEPS),
    ],
    ids=["em", "em exact", "cem", "cem exact", "squarem", "squarem exact"],
)
@pytest.mark.parametrize("seed", range(30))
def test_what_a_solver_climbs_never_falls(seed, solver):
    problem = a_problem(seed)
    assert_never_falls(solve(problem, solver, start_of(problem, seed)).trace)


def test_an_em_step_is_weighted_least_squares():
    """Lines and variances of one step are those of numpy, with the responsibilities as weights."""
    rows = sample(2, d=2)
    weight = np.random.default_rng(1).gamma(2.0, size=rows.y.size)
    problem = problem_of(rows.model, rows.X, rows.y, None, weight)
    schema, at = problem.passes.source.schema, problem.passes.source.coordinates
    old = rows.truth
    solution = solve(problem, EM(max_iter=1, **STEPS), rows.model.to_theta(old, schema, at))
    new = rows.model.from_theta(solution.theta, schema, at).expert
    features = np.column_stack([np.ones(rows.y.size), rows.X])
    for k, resp in enumerate(rows.model.responsibilities(old, rows.X, rows.y).T):
        root = np.sqrt(weight * resp)
        coef = np.linalg.lstsq(features * root[:, None], rows.y * root, rcond=None)[0]
        variance = (root**2 @ (rows.y - features @ coef) ** 2) / (root**2).sum()
        got = [new.intercepts[k], *new.slopes[k], new.variances[k]]
        np.testing.assert_allclose(got, [*coef, variance], rtol=1e-12)


def test_em_ends_at_newtons_maximum():
    """Two roads to one density: the score is zero to 1e-10, so its logarithm agrees to about that."""
    rows = sample(2)
    problem = rows.problem
    ends = [
        solve(problem, solver, start_of(problem)) for solver in (EM(**STEPS | {"gtol": 1e-10}), TrustRegionNewton())
    ]
    assert [end.stop for end in ends] == [Stop.GRADIENT] * 2
    assert ends[0].loglik == pytest.approx(ends[1].loglik, rel=ROUND_OFF)
    source = problem.passes.source
    one, other = (
        rows.model.log_density(rows.model.from_theta(end.theta, source.schema, source.coordinates), rows.X, rows.y)
        for end in ends
    )
    np.testing.assert_allclose(one, other, atol=1e-8)


# ------------------------------------------------------------------------------------ Newton
@pytest.mark.parametrize("seed", range(10))
def test_newton_never_lowers_the_loglikelihood(seed):
    problem = a_problem(seed)
    assert_never_falls(solve(problem, TrustRegionNewton(max_iter=30), start_of(problem, seed)).trace)


def test_newton_doubles_its_digits_near_the_maximum():
    """Each gradient is of the order of the square of the last, down to the tolerance."""
    problem = sample(2).problem
    top = solve(problem, EMThenNewton(), start_of(problem)).theta
    newton = TrustRegionNewton()
    solution = solve(problem, newton, top + 0.03 * np.cos(np.arange(top.size)))
    gradients = np.array([row.gradient for row in solution.trace])
    assert 3 <= solution.n_iter <= 6
    assert gradients[0] > 1e-3
    assert (gradients[1:] <= np.maximum(30 * gradients[:-1] ** 2, newton.gtol)).all()


@cache
def two_equal_experts():
    """Both experts are the regression of all rows: the score is zero, yet no maximum."""
    rows = sample(2, n=300, seed=3)
    alone = ms.fit(ms.MixtureOfExperts(n_experts=1), rows.X, rows.y)
    line = alone.params.expert
    expert = {name: np.repeat(getattr(line, name), 2, axis=0) for name in ("slopes", "intercepts", "variances")}
    point = rows.model.params(gate={"slopes": np.zeros((2, 1)), "intercepts": np.zeros(2)}, expert=expert)
    return rows, alone, point


def test_newton_leaves_a_saddle_where_em_stays():
    rows, _, point = two_equal_experts()
    problem = rows.problem
    source = problem.passes.source
    theta = rows.model.to_theta(point, source.schema, source.coordinates)
    stuck = solve(problem, EM(), theta)
    free = solve(problem, TrustRegionNewton(), theta)
    assert stuck.stop is Stop.GRADIENT
    assert stuck.n_iter == 0
    assert free.stop is Stop.GRADIENT
    assert free.loglik > stuck.loglik + 100  # the lines that drew the rows are that much better than one
    assert_never_falls(free.trace)


def test_the_default_solver_leaves_a_saddle():
    rows, alone, point = two_equal_experts()
    results = ms.fit(rows.model, rows.X, rows.y, start=point)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.llf > alone.llf + 100
    assert set(results.trace.method[1:]) == {"newton"}


def test_the_default_solver_is_em_and_then_newton():
    problem = sample(2).problem
    methods = [row.method for row in solve(problem, EMThenNewton(em=EM(max_iter=3)), start_of(problem)).trace]
    assert methods[:4] == ["em"] * 4
    assert set(methods[4:]) == {"newton"}


# ------------------------------------------------------------------------------------ the trust region
def model_gain(slope, curvature, steps):
    return steps @ slope - 0.5 * steps**2 @ curvature


def points_in_ball(radius, size):
    grid = np.stack(np.meshgrid(*[np.linspace(-radius, radius, 81)] * size), axis=-1).reshape(-1, size)
    on_sphere = normal(2000, size)
    on_sphere *= radius / np.linalg.norm(on_sphere, axis=1, keepdims=True)
    return np.vstack([grid[np.linalg.norm(grid, axis=1) <= radius], on_sphere])


def assert_best_in_the_region(slope, curvature, radius):
    """No point of the grid is better; the search for the boundary stops within a hundredth of the radius."""
    step = trust_region_step(slope, curvature, radius)
    best = model_gain(slope, curvature, points_in_ball(0.99 * radius, slope.size)).max()
    assert np.linalg.norm(step) <= 1.01 * radius
    assert model_gain(slope, curvature, step) >= best - 1e-12 * (1 + abs(best))


signed = st.floats(-3, 3, allow_subnormal=False)


@few
@given(
    st.lists(signed, min_size=2, max_size=2), st.lists(signed, min_size=2, max_size=2), st.sampled_from([0.1, 1, 10])
)
def test_the_step_is_the_best_of_the_region(slope, curvature, radius):
    assert_best_in_the_region(np.array(slope), np.sort(curvature), radius)


def test_a_short_newton_step_is_taken_whole():
    slope, curvature = np.array([0.3, -0.2]), np.array([0.5, 4.0])
    np.testing.assert_array_equal(trust_region_step(slope, curvature, 1.0), slope / curvature)


@pytest.mark.parametrize("curvature", [[0.5, 4.0], [0.0, 4.0], [-0.5, 4.0]], ids=["convex", "flat", "saddle"])
def test_a_long_step_ends_on_the_boundary(curvature):
    slope, curvature = np.array([3.0, -2.0]), np.array(curvature)
    assert np.linalg.norm(trust_region_step(slope, curvature, 1.0)) == pytest.approx(1.0, rel=0.01)
    assert_best_in_the_region(slope, curvature, 1.0)


@pytest.mark.parametrize("along", [0.0, -0.0, 1e-15, -1e-14, 1e-13, 1e-11])
@pytest.mark.parametrize("rest", [0.0, 0.3, 2.0])
def test_without_slope_the_direction_of_ascent_is_taken(along, rest):
    """The hard case: the gradient has next to no part along the direction of negative curvature."""
    slope, curvature = np.array([along, rest, 0.0]), np.array([-1.0, 2.0, 5.0])
    step = trust_region_step(slope, curvature, 1.0)
    assert np.linalg.norm(step) == pytest.approx(1.0, rel=0.01)
    assert abs(step[0]) > 0.5
    assert_best_in_the_region(slope, curvature, 1.0)


def test_no_parameters_no_step():
    assert trust_region_step(np.empty(0), np.empty(0), 1.0).shape == (0,)


# ------------------------------------------------------------------------------------ held parameters
HELD = {
    "variances": {"expert.variances": [0.2, 0.4]},
    "one variance": {"expert.variances": 0.3},
    "gate slopes": {"gate.slopes": 0.0},
    "equal weights": {"gate.slopes": 0.0, "gate.intercepts": 0.0},
    "gate intercepts": {"gate.intercepts": [0.5, 1.0]},
    "slopes": {"expert.slopes": [[2.0], [-1.0]]},
    "intercepts": {"expert.intercepts": [1.0, -1.0]},
    "all but the gate": {
        "expert.slopes": [[2.0], [-1.0]],
        "expert.intercepts": [1.0, -1.0],
        "expert.variances": 0.3,
    },
}
each_held = pytest.mark.parametrize("held", HELD)


def lines_for_holding(n=200):
    """Rows near two lines that the held values describe roughly."""
    model = ms.MixtureOfExperts()
    gate = {"slopes": [[1.0], [0.0]], "intercepts": [-0.5, 0.0]}  # most rows go to the second
    lines = {"slopes": [[1.8], [-1.1]], "intercepts": [0.8, -0.9], "variances": [0.2, 0.4]}
    truth = model.params(gate=gate, expert=lines)
    X = 0.5 + normal(n, 1, seed=8)
    return truth, X, model.sample(truth, X, np.random.default_rng(9))


@cache
def held_fit(held):
    truth, X, y = lines_for_holding()
    model = ms.MixtureOfExperts(fixed=HELD[held])
    return ms.fit(model, X, y, start=truth), X, y


@each_held
def test_held_parameters_stay_at_their_values(held):
    """To the last bits: the logarithm of a variance is taken and undone."""
    results, _, _ = held_fit(held)
    for path, value in HELD[held].items():
        part, name = path.split(".")
        got = getattr(getattr(results.params, part), name)
        np.testing.assert_allclose(got, np.broadcast_to(value, got.shape), rtol=1e-15)


@each_held
def test_the_free_parameters_are_at_the_constrained_maximum(held):
    """SciPy, climbing the formula from close by along the free parameters alone, gets no higher, and as high."""
    results, X, y = held_fit(held)
    layout = results.model.layout(results.schema)
    best, free = layout.pack(results.params), ~results.held.to_numpy()

    def minus_loglik(values):
        theta = best.copy()
        theta[free] = values
        return -samples.loglik(layout.unpack(theta), X, y)

    near = best[free] + 0.05 * np.cos(np.arange(free.sum()))
    assert -minus_loglik(near) < results.llf - 0.01
    peak = -optimize.minimize(minus_loglik, near, method="BFGS").fun
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.llf >= peak - 1e-10 * abs(peak)
    assert results.llf == pytest.approx(peak, abs=1e-5)  # what its finite differences leave to gain


@each_held
def test_em_alone_reaches_the_constrained_maximum(held):
    truth, X, y = lines_for_holding()
    model = ms.MixtureOfExperts(fixed=HELD[held])
    results = ms.fit(model, X, y, start=truth, solver=EM(**STEPS | {"gtol": 1e-9}))
    assert results.llf == pytest.approx(held_fit(held)[0].llf, rel=ROUND_OFF)


def test_equal_weights_are_equal():
    results, X, _ = held_fit("equal weights")
    np.testing.assert_allclose(results.gate_weights(X), 0.5, rtol=1e-15)


@pytest.mark.parametrize("held", ["variances", "gate slopes", "equal weights", "slopes"])
def test_holding_what_a_shift_leaves_alone_costs_no_precision(held):
    """Covariates like calendar years: the same fit, whose intercepts alone move."""
    _, X, y = lines_for_holding()
    model = ms.MixtureOfExperts(fixed=HELD[held])
    near, far = (ms.fit(model, X + shift, y, n_starts=6) for shift in (0.0, 2000.0))
    assert near.certificate.status is far.certificate.status is ms.Status.STRICT_MAXIMUM
    assert far.llf == pytest.approx(near.llf, rel=1e-10)


def test_a_member_of_a_tuple_of_families_can_be_held():
    _, X, y = lines_for_holding()
    model = ms.MixtureOfExperts(expert=("gaussian", "gaussian"), fixed={"expert.1.variances": 0.4})
    results = ms.fit(model, X, y, n_starts=6)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.params.expert.members[1].variances == pytest.approx(0.4, rel=1e-15)
    assert results.params.expert.members[0].variances != pytest.approx(0.4, rel=1e-3)


def test_held_log_odds_are_not_moved():
    rows = sample(2, expert="multinomial", seed=1)
    held = rows.truth.expert.slopes
    problem = problem_of(ms.MixtureOfExperts(expert="multinomial", fixed={"expert.slopes": held}), rows.X, rows.y)
    source = problem.passes.source
    solution = solve(problem, EMThenNewton(), start_of(problem))
    expert = rows.model.from_theta(solution.theta, source.schema, source.coordinates).expert
    np.testing.assert_array_equal(expert.slopes, held)
    assert (expert.intercepts != rows.truth.expert.intercepts).all()


# ------------------------------------------------------------------------------------ least squares
#: distance of a column from another one: the condition of the standardised columns is about two over it
NEARLY_COLLINEAR = [1e-8, 1e-9, 1e-10]
ONE_STEP = EM(max_iter=1, **STEPS)


def collinear_lines(distance, solver):
    """Coefficients of a regression on two nearly equal, unmixed columns: ours, from nowhere, and numpy's."""
    x, other = normal(2, 200, seed=4)
    X = np.column_stack([x, x + distance * other])
    y = 0.5 + X @ [1.0, 2.0] + 0.01 * normal(200, seed=5)
    model = ms.MixtureOfExperts(n_experts=1)
    zero = {"slopes": np.zeros((1, 2)), "intercepts": np.zeros(1)}
    nowhere = model.params(gate=zero, expert={**zero, "variances": np.ones(1)})
    source = Data(X, y)  # a source that is not prepared keeps its columns
    solution = solve(Problem.of(model, source), solver, model.to_theta(nowhere, source.schema, source.coordinates))
    line = model.from_theta(solution.theta, source.schema, source.coordinates).expert
    features = np.column_stack([np.ones(200), X])
    return np.append(line.intercepts, line.slopes), np.linalg.lstsq(features, y, rcond=1e-15)[0]


@pytest.mark.parametrize("distance", NEARLY_COLLINEAR)
@pytest.mark.parametrize("solver", [ONE_STEP, EMThenNewton()], ids=["one step", "default"])
def test_nearly_collinear_columns_keep_the_digits_of_an_orthogonal_factorisation(distance, solver):
    """Either answer is good to the condition times the unit round-off, after one step and to the end."""
    got, expected = collinear_lines(distance, solver)
    np.testing.assert_allclose(got, expected, rtol=20 * np.finfo(float).eps * 2 / distance)


@pytest.mark.parametrize("distance", NEARLY_COLLINEAR)
def test_moments_alone_would_lose_all_digits(distance, monkeypatch):
    """The square of the condition is beyond double precision: without the fallback nothing is left."""
    monkeypatch.setattr(least_squares, "MIN_RCOND", -1.0)
    got, expected = collinear_lines(distance, ONE_STEP)
    assert np.abs(got / expected - 1).max() > 0.5


# ------------------------------------------------------------------------------------ the variance floor
def floor_of(results):
    """The smallest variance the model admits for these rows, in raw units."""
    floor = gaussian.ROUNDING_FLOOR if results.model.n_experts == 1 else gaussian.VARIANCE_FLOOR
    return floor * results.source.moments.y.scale[0] ** 2


def test_a_perfect_line_ends_on_the_floor():
    x = np.linspace(0, 1, 30)
    with pytest.warns(ConvergenceWarning, match="variance floor"):
        results = ms.fit(ms.MixtureOfExperts(n_experts=1), x, 1 + 2 * x)
    assert results.certificate.optimum.floors == ("expert[1].variance",)
    line = results.params.expert
    assert line.variances[0] == pytest.approx(floor_of(results), rel=1e-12)
    np.testing.assert_allclose([line.intercepts[0], line.slopes[0, 0]], [1.0, 2.0], rtol=1e-12)


def test_a_point_mass_ends_on_the_floor():
    """A quarter of the rows at one point, to which an expert shrinks; the other describes the rest."""
    x = np.r_[np.linspace(0, 1, 30), np.full(10, 0.5)]
    y = np.r_[normal(30, seed=2), np.full(10, 5.0)]
    with pytest.warns(ConvergenceWarning, match="variance floor"):
        results = ms.fit(ms.MixtureOfExperts(n_experts=2), x, y, n_starts=6)
    assert results.certificate.status is ms.Status.AT_FLOOR
    assert results.certificate.optimum.floors == ("expert[2].variance",)
    assert results.params.expert.variances[1] == pytest.approx(floor_of(results), rel=1e-12)


def test_little_noise_is_no_spike():
    """Noise of a hundred-thousandth of the response's spread: scores are rounded coarsely, yet it is a maximum."""
    x = normal(100, seed=1)
    y = 1 + 2 * x + 5e-5 * normal(100, seed=2)
    results = ms.fit(ms.MixtureOfExperts(n_experts=1), x, y)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.certificate.stop != Stop.STALLED.value
    slope, intercept = np.polyfit(x, y, 1)
    line = results.params.expert
    np.testing.assert_allclose([line.intercepts[0], line.slopes[0, 0]], [intercept, slope], rtol=1e-13)


# ------------------------------------------------------------------------------------ the loop and the settings
def test_a_start_is_moved_to_the_nearest_admissible_point():
    rows = sample(2)
    model = ms.MixtureOfExperts(fixed={"gate.slopes": 0.0})
    problem = problem_of(model, rows.X, rows.y)
    solution = solve(problem, EM(max_iter=0, **STEPS), np.full(problem.layout.size, -1e3))
    assert (solution.theta >= problem.lower).all()
    np.testing.assert_array_equal(solution.theta[~problem.free], 0.0)


@pytest.mark.parametrize(
    "solver", [EM(), SQUAREM(), TrustRegionNewton(), EMThenNewton()], ids=lambda s: type(s).__name__
)
def test_what_a_solution_says_is_true_at_its_point(solver):
    problem = sample(2).problem
    seen = []
    solution = solve(problem, solver, start_of(problem), callback=seen.append)
    sums = problem.passes.score(solution.theta)
    assert len(seen) == solution.n_iter == len(solution.trace) - 1
    assert solution.loglik == solution.trace[-1].loglik == pytest.approx(sums.loglik, rel=ROUND_OFF)
    np.testing.assert_allclose(solution.score, sums.score, atol=1e-11)
    assert solution.gradient == pytest.approx(np.abs(sums.score).max() / problem.total_weight, abs=1e-12)


@pytest.mark.parametrize("max_iter", [0, 1])
def test_newton_stops_at_its_limit(max_iter):
    problem = sample(2).problem
    solution = solve(problem, TrustRegionNewton(max_iter=max_iter), start_of(problem))
    assert solution.stop is Stop.LIMIT
    assert solution.n_iter == max_iter


def test_newton_without_a_tolerance_ends_in_round_off():
    """Asked for a gradient of exactly zero it goes on until nothing can be gained, and calls that converged."""
    problem = sample(2).problem
    solution = solve(problem, TrustRegionNewton(gtol=0.0), start_of(problem))
    assert solution.stop is Stop.PRECISION
    assert solution.converged
    assert solution.gradient < 1e-14


@pytest.mark.parametrize(
    ("solver", "settings", "message"),
    [
        (TrustRegionNewton, {"radius": 0.0}, r"radius must be larger than 0 and at most max_radius; got 0\.0"),
        (TrustRegionNewton, {"radius": 2.0, "max_radius": 1.0}, r"at most max_radius; got 2\.0 and 1\.0"),
        (TrustRegionNewton, {"keep": 1.0}, r"keep must be at least 0 and less than 1; got 1\.0"),
    ],
)
def test_settings_that_are_refused(solver, settings, message):
    with pytest.raises(InputError, match=message):
        solver(**settings)


# ------------------------------------------------------------------------------------ names
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_has_a_name_and_defaults(name):
    solver = solver_named(name)
    assert isinstance(solver, Solver)
    assert solver == SOLVERS[name]()
    problem = sample(2).problem
    solution = solve(problem, solver, start_of(problem))
    assert solution.converged
    last = {"em_newton": "newton", "annealing": "newton", "across_ties": "ties"}
    assert solution.trace[-1].method == last.get(name, name)


@pytest.mark.parametrize("name", ["EM", "", None, 3, ["em"]])
def test_an_unknown_solver_is_told_the_known_ones(name):
    with pytest.raises(InputError, match="solver must be one of 'em', 'classification_em', 'squarem', 'newton', ") as e:
        solver_named(name)
    assert repr(name) in str(e.value)


def test_a_bound_blocks_only_what_pushes_against_it():
    """A parameter at its bound moves again as soon as the score points inside."""
    problem = sample(2).problem
    theta = np.where(np.isfinite(problem.lower), problem.lower, 0.0)
    bounded = np.isfinite(problem.lower)
    inwards, outwards = np.ones(theta.size), -np.ones(theta.size)
    assert problem.movable(theta, inwards).all()
    np.testing.assert_array_equal(problem.movable(theta, outwards), ~bounded)
    np.testing.assert_array_equal(problem.projected(theta, outwards)[bounded], 0.0)
    np.testing.assert_array_equal(problem.active(theta), bounded)
