"""The pieces of compiled fits, each against a second source: NumPy, finite differences, the general way's constants."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

import moestat as ms
from moestat.certificate import behind as few_rows
from moestat.certificate import status
from moestat.kernels import ascent, em_steps, jit, newton_steps, predictor_sums, verdict, working_rows
from moestat.kernels.address import LAW, address_of, call_law
from moestat.kernels.predictor_sums import EM, HESSIAN, LOGLIK, SCORE, add_up
from moestat.solvers import EMThenNewton, Problem, TrustRegionNewton, m_step
from moestat.solvers import newton as newton_solver

examination = import_module("moestat.certificate.examine")  # the package has a function of that name


# --------------------------------------------------------------------------------------- constants
def test_constants_are_those_of_the_general_way():
    """Two ways, one set of tolerances."""
    solver, newton = EMThenNewton(), TrustRegionNewton()
    assert (solver.em.max_iter, solver.em.rtol) == (em_steps.EM_STEPS, em_steps.EM_GAIN)
    assert (em_steps.SLACK, em_steps.STEP_CAP) == (m_step.SLACK, m_step.STEP_CAP)
    assert newton_steps.GRADIENT == em_steps.GRADIENT == newton.gtol
    assert newton_steps.CERTIFIED_GRADIENT == newton.ACCEPTABLE == status.GRADIENT_TOLERANCE
    assert (newton_solver.ROUNDOFF, newton.max_radius) == (newton_steps.ROUNDOFF, newton_steps.MAX_RADIUS)
    assert (ascent.NO_CURVATURE, ascent.NO_SLOPE) == (newton_solver.NO_CURVATURE, newton_solver.NO_SLOPE)
    assert verdict.FLAT == examination.FLAT_TOLERANCE
    assert verdict.NO_INFORMATION == examination.NO_INFORMATION
    assert verdict.RUNAWAY_STEP == examination.RUNAWAY_STEP
    assert few_rows.FEW == predictor_sums.FEW
    assert few_rows.SMALL_ON == ((2, verdict.SMALL_ON_AS_MANY), (few_rows.FEW, verdict.SMALL_ON_FEW))


# --------------------------------------------------------------------------------------- passes
def case(expert, d, K, n=700, weighted=True):
    """A compiled form with rows, and the general passes at the same parameters."""
    rng = np.random.default_rng([d, K])
    X = rng.normal(size=(n, d))
    y = rng.integers(0, 3, n).astype(float) if expert == "multinomial" else rng.normal(size=n)
    weight = rng.integers(1, 4, n).astype(float) if weighted else np.ones(n)
    model = ms.MixtureOfExperts(expert=expert, n_experts=K)
    prepared = ms.prepare(model, X, y)
    form = prepared._form
    rows = working_rows.rows_for(n, working_rows.tile_width(n), d + 1, 1)
    frame = working_rows.Frame(np.zeros(d + 1), np.ones(d + 1), np.zeros(1), np.ones(1))
    task = form.task
    assert working_rows.lay_out(
        X, y[:, None], np.zeros(n), weight, task.centred_X, task.centred_y, task.scaled_y, frame, rows
    )
    source = model.data(X, y, sample_weight=weight)
    B = rows.weight.shape[1]
    return SimpleNamespace(
        form=form,
        rows=rows,
        frame=frame,
        source=source,
        passes=Problem.of(model, source).passes,
        theta=0.4 * rng.normal(size=prepared._layout.size),
        scratch=predictor_sums.scratch_for(form.predictors, d + 1, B),
        sums=predictor_sums.sums_for(form.predictors, d + 1),
    )


CASES = [
    (expert, d, K) for expert in ("gaussian", "gaussian(variance='common')", "multinomial") for d, K in ((1, 2), (3, 3))
]


@pytest.mark.parametrize(("expert", "d", "K"), CASES)
def test_sums_are_those_of_the_general_passes(expert, d, K):
    """Log-likelihood, score, Hessian and masses at a random point, in the same working coordinates."""
    c = case(expert, d, K)
    assert c.frame.scale[1:] == pytest.approx(c.source.coordinates.X.scale)
    assert c.frame.location[1:] == pytest.approx(c.source.coordinates.X.location)
    args = (c.form.predictors, c.rows, c.theta)
    whole = c.passes.hessian(c.theta)
    score, hessian = np.empty(c.theta.size), np.empty((c.theta.size,) * 2)
    for level in (LOGLIK, SCORE, EM, HESSIAN):
        assert add_up(*args, level, c.scratch, c.sums) == pytest.approx(whole.loglik, rel=1e-13)
        if level > LOGLIK:
            predictor_sums.gather_score(c.form.predictors, c.sums, score)
            np.testing.assert_allclose(score, whole.score, atol=1e-10 * c.source.total_weight)
        if level in (SCORE, HESSIAN):
            np.testing.assert_allclose(c.sums.mass, c.passes.shares(c.theta).mass, rtol=1e-12)
    predictor_sums.gather_hessian(c.form.predictors, c.sums, hessian)
    np.testing.assert_allclose(hessian, whole.hessian, atol=1e-10 * c.source.total_weight)


@pytest.mark.parametrize(("expert", "d", "K"), CASES)
def test_derivatives_agree_with_finite_differences(expert, d, K):
    """Score from log-likelihoods, Hessian from scores."""
    c = case(expert, d, K, n=60)
    P, step = c.theta.size, 1e-5

    def at(theta, level):
        loglik = add_up(c.form.predictors, c.rows, theta, level, c.scratch, c.sums)
        score = np.empty(P)
        if level > LOGLIK:
            predictor_sums.gather_score(c.form.predictors, c.sums, score)
        return loglik, score

    _, score = at(c.theta, HESSIAN)
    hessian = np.empty((P, P))
    predictor_sums.gather_hessian(c.form.predictors, c.sums, hessian)
    for i, move in enumerate(step * np.eye(P)):
        ahead, back = at(c.theta + move, SCORE), at(c.theta - move, SCORE)
        assert (ahead[0] - back[0]) / (2 * step) == pytest.approx(score[i], abs=1e-5)
        np.testing.assert_allclose((ahead[1] - back[1]) / (2 * step), hessian[i], atol=1e-5)


# --------------------------------------------------------------------------------------- linear algebra
def symmetric(P, least, seed=0):
    """A matrix with eigenvalues from ``least`` to 3."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(P, P)))[0]
    matrix = (Q * np.linspace(least, 3.0, P)) @ Q.T
    return 0.5 * (matrix + matrix.T)


def test_a_factor_solves_and_refuses():
    """As NumPy solves; what is not clearly positive definite has none."""
    A, b, L, x = symmetric(7, 0.1), np.arange(7.0), np.zeros((7, 7)), np.empty(7)
    assert ascent.factor(A, L)
    ascent.solve_factored(L, b, x)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-12)
    assert not ascent.factor(symmetric(7, -0.1), L)
    assert not ascent.factor(symmetric(7, 1e-12), L)


@pytest.mark.parametrize("least", [0.2, -0.5])
@pytest.mark.parametrize("radius", [0.3, 50.0])
def test_the_best_step_is_that_of_a_fine_search(least, radius):
    """No point of the ball does better; one parameter is held, and one direction changes nothing."""
    P = 5
    A, g = symmetric(P, least), np.linspace(1.0, -1.0, P)
    movable = np.array([True] * (P - 1) + [False])
    aside = np.array([[1.0, 1.0, 0.0, 0.0, 0.0]]) / np.sqrt(2.0)
    rest = np.eye(P) - aside.T @ aside
    A = rest @ A @ rest
    lifted = np.empty((P, P))
    ascent.scaled_information(-A, 1.0, np.ones(P), movable, aside, 100.0, lifted)
    slope = np.where(movable, g, 0.0)
    slope -= aside[0] * (aside[0] @ slope)
    step = np.empty(P)
    ascent.best_step(lifted, slope, movable, aside, radius, step)
    assert step[-1] == pytest.approx(0.0, abs=1e-12)
    assert aside[0] @ step == pytest.approx(0.0, abs=1e-9 * radius)
    assert np.linalg.norm(step) <= 1.02 * radius
    basis = np.linalg.svd(np.vstack([aside, np.eye(P)[-1:]]))[2][2:]
    curvature, gain = basis @ A @ basis.T, slope @ step - 0.5 * step @ A @ step
    rng = np.random.default_rng(1)
    for _ in range(3000):
        z = rng.normal(size=P - 2)
        z *= radius * rng.random() ** 0.2 / np.linalg.norm(z)
        assert (basis @ slope) @ z - 0.5 * z @ curvature @ z <= gain + 1e-2 * abs(gain)


def test_newtons_move_is_that_of_the_general_way():
    """Along eigenvectors, capped, with what is not movable left where it is."""
    A, g = symmetric(6, -0.4), np.linspace(0.3, -2.0, 6)
    movable = np.array([True, True, False, True, True, True])
    np.testing.assert_allclose(ascent.newton_move(A, g, movable, 5.0), m_step.newton_move(A, g, movable), rtol=1e-10)


# --------------------------------------------------------------------------------------- rows
def test_a_sample_is_spread_over_all_rows():
    """No row twice, and as many from every stretch, up to two."""
    n, B = 10_000, working_rows.tile_width(10_000)
    rows, few = working_rows.rows_for(n, B, 2, 1), working_rows.rows_for(n // 10, B, 2, 1)
    numbers = np.arange(float(n))[:, None]
    frame = working_rows.Frame(np.zeros(2), np.ones(2), np.zeros(1), np.ones(1))
    working_rows.lay_out(numbers, numbers, np.zeros(n), np.ones(n), 0, False, False, frame, rows)
    working_rows.draw(rows, n, few)
    drawn = np.sort(few.F[:, 1].ravel() * frame.scale[1])
    assert np.unique(drawn).size == drawn.size
    counts = np.histogram(drawn, bins=50, range=(0, n))[0]
    assert np.ptp(counts) <= 2


@pytest.mark.parametrize("centred", [True, False])
def test_parameters_go_to_working_units_and_back(centred):
    """The map is that of the model, and its inverse."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(40.0, 3.0, (200, 2)), rng.normal(-7.0, 12.0, 200)
    model = ms.MixtureOfExperts(n_experts=2)
    bounds = None if centred else {"gate.intercepts": 9.0, "expert.intercepts": 9.0}
    prepared = ms.prepare(model, X, y, bounds=bounds)
    source = model.prepare(model.data(X, y), bounded=tuple(bounds or {}))
    task, predictors = prepared._form.task, prepared._form.predictors
    rows = working_rows.rows_for(200, working_rows.tile_width(200), 3, 1)
    frame = working_rows.Frame(np.zeros(3), np.ones(3), np.zeros(1), np.ones(1))
    working_rows.lay_out(
        X, y[:, None], np.zeros(200), np.ones(200), task.centred_X, task.centred_y, task.scaled_y, frame, rows
    )
    raw = rng.normal(size=prepared._layout.size)
    theta, back = np.empty_like(raw), np.empty_like(raw)
    working_rows.to_working(predictors, task.roles, frame, raw, theta)
    params = prepared._layout.unpack(raw)
    np.testing.assert_allclose(theta, model.to_theta(params, source.schema, source.coordinates), rtol=1e-12, atol=1e-12)
    working_rows.to_raw(predictors, task.roles, frame, theta, back)
    np.testing.assert_allclose(back, raw, rtol=1e-12, atol=1e-12)


@jit
def _refuses(settings, eta, Y, offset, order, V, G, C):
    raise ValueError("not this one")


@jit
def _asks(address, rows, row):
    call_law(address, (row, rows, rows, row, np.int64(0), row, rows, rows))


def test_an_exception_crosses_a_call_by_address():
    """What a compiled function raises reaches its caller."""
    with pytest.raises(ValueError, match="not this one"):
        _asks(address_of(_refuses, LAW), np.zeros((2, 2)), np.zeros(2))


def test_what_is_not_finite_moves_nothing():
    """Matrices that overflow have no eigenvalues; nothing is raised."""
    bad, movable, out = np.full((3, 3), np.inf), np.ones(3, dtype=bool), np.ones(3)
    ascent.best_step(bad, np.ones(3), movable, np.zeros((0, 3)), 1.0, out)
    assert not out.any()
    assert not ascent.newton_move(bad, np.ones(3), movable, 5.0).any()
