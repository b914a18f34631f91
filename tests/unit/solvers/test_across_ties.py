"""Ascent where the likelihood jumps: ties are found, held and left, and what is reported there holds."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import special
from scipy.optimize import LinearConstraint, minimize

import moestat as ms
from moestat.certificate import Status
from moestat.errors import EmptyExpertWarning
from moestat.representative import canonical
from moestat.solvers import AcrossTies, Problem, solve
from moestat.solvers.along import settle
from moestat.solvers.loop import Stop
from moestat.solvers.ties import first_switch, normals, pulls, switched, ties_at

SLOPES = np.array([[2.0, 0.0], [-1.0, 1.7], [0.0, 0.0]])


def rows_of(seed: int, n: int = 400):
    """A model of three experts two of which are active, the truth, and rows."""
    rng = np.random.default_rng([seed, 3])
    model = ms.MixtureOfExperts(gate="topk(n_active=2)", n_experts=3)
    truth = model.params(
        gate={"intercepts": [0.3, -0.2, 0.0], "slopes": SLOPES},
        expert={
            "intercepts": [2.0, 0.0, -2.0],
            "slopes": [[2.0, 1.0], [0.0, -0.5], [-2.0, -0.6]],
            "variances": 3 * [0.3],
        },
    )
    X = rng.standard_normal((n, 2))
    return model, truth, X, model.sample(truth, X, rng)


@pytest.fixture(scope="module")
def case():
    model, truth, X, y = rows_of(0)
    data = model.prepare(model.data(X, y))
    return model, Problem.of(model, data), model.to_theta(truth, data.schema, data.coordinates), X, y


@pytest.fixture(scope="module")
def settled(case):
    _, problem, theta, _, _ = case
    return settle(problem, theta)


def loglik_with_held_experts(problem, theta, held):
    """Log-likelihood with the rows' experts at ``held``: smooth, and equal to the real one near there."""
    terms, total = problem.passes.terms, 0.0
    for block in problem.passes.source.blocks():
        masks = np.empty((3, block.weight.size))
        terms.gate.value(held[terms.gate_columns], block, masks)
        H, E = np.empty_like(masks), np.empty_like(masks)
        terms.gate.inner.value(theta[terms.gate_columns], block, H)
        terms.expert.value(theta[terms.expert_columns], block, E)
        H = np.where(np.isfinite(masks), H, -np.inf)
        rows = special.logsumexp(H + E, axis=0) - special.logsumexp(H, axis=0)
        total += float(block.weight @ rows)
    return total


# --------------------------------------------------------------------------------------- ties
@pytest.mark.parametrize("gate", ["threshold", "threshold(mass=0.7)"])
def test_steps_along_curved_ties_return_to_them(gate: str, case) -> None:
    """A plane that touches a curved tie leaves it; the ascent must neither stop there nor hold one tie many times."""
    _, problem, truth, X, y = case
    experts = truth[problem.passes.terms.n_gate :]
    model = ms.MixtureOfExperts(gate=gate, n_experts=3)
    problem, met = Problem.of(model, model.prepare(model.data(X, y))), 0
    for seed in range(4):
        start = np.random.default_rng(seed).standard_normal(problem.passes.terms.n_gate)
        theta = np.concatenate([start, experts])
        end = settle(problem, theta)
        assert end.stop is not Stop.LIMIT
        assert end.loglik >= problem.passes.loglik(theta)
        assert not any(tie == other for i, tie in enumerate(end.ties) for other in end.ties[:i])
        assert all(tie.holds(problem, end.theta) for tie in end.ties)
        met += len(end.ties)
    assert met > 0


def test_the_first_switch_of_a_step_is_where_the_first_margin_vanishes(case) -> None:
    _, problem, theta, _, _ = case
    step = np.zeros_like(theta)
    step[: problem.passes.terms.n_gate] = np.random.default_rng(0).standard_normal(problem.passes.terms.n_gate)
    low, high, tie = first_switch(problem, lambda share: theta + share * step)
    assert tie is not None
    assert switched(problem, theta, theta + low * step).count == 0
    assert switched(problem, theta, theta + high * step).count == 1
    margins = tie.margin(problem, theta + low * step), tie.margin(problem, theta + high * step)
    assert margins[0] >= 0 >= margins[1]
    local = theta[problem.passes.terms.gate_columns], step[problem.passes.terms.gate_columns]
    shares = []
    for block in problem.passes.source.blocks():
        for j in np.flatnonzero(block.weight):
            here, move = (own @ block.Z[:, j] for own in local)
            last = np.argmin(here)
            for k in np.delete(np.arange(3), last):
                if move[last] > move[k]:
                    shares.append((here[k] - here[last]) / (move[last] - move[k]))
    np.testing.assert_allclose([low, high], min(shares), rtol=2e-6)


def test_a_normal_is_the_derivative_of_its_margin(case, settled) -> None:
    _, problem, _, _, _ = case
    assert settled.ties
    for tie, normal in zip(settled.ties, normals(problem, settled.theta, settled.ties), strict=True):
        steps = 1e-6 * np.eye(settled.theta.size)
        slope = [
            (tie.margin(problem, settled.theta + s) - tie.margin(problem, settled.theta - s)) / 2e-6 for s in steps
        ]
        np.testing.assert_allclose(normal, slope, atol=1e-8)


# --------------------------------------------------------------------------------------- a constrained maximum
def test_what_is_settled_is_a_maximum_under_its_ties(case, settled) -> None:
    """The gradient is a combination of the ties' normals that presses against each; along them nothing is left."""
    _, problem, _, _, _ = case
    held = replace(problem, ties=normals(problem, settled.theta, settled.ties))
    assert held.gradient_norm(settled.theta, settled.score) < 1e-10
    assert problem.gradient_norm(settled.theta, settled.score) > 1e-4
    assert (pulls(held, settled.score) < 0).all()
    for tie in settled.ties:
        assert 0 <= tie.margin(problem, settled.theta) <= 1e-10


@pytest.mark.parametrize("left", [1e-14, 1e-12])
def test_a_margin_that_rounding_has_eaten_up_is_restored(case, settled, left) -> None:
    """Else a row would change its experts where parameters are only written in another form."""
    _, problem, _, _, _ = case
    margins = normals(problem, settled.theta, settled.ties)
    short = np.zeros(len(settled.ties))
    short[0] = left - settled.ties[0].margin(problem, settled.theta)
    again = settle(problem, settled.theta + np.linalg.pinv(margins) @ short)
    assert len(again.ties) == len(settled.ties)
    assert min(tie.margin(problem, again.theta) for tie in again.ties) > 5e-12
    assert again.loglik == pytest.approx(settled.loglik, abs=1e-7)
    assert problem.passes.loglik(canonical(problem, again.theta)) == pytest.approx(again.loglik, abs=1e-7)


def test_it_is_the_maximum_of_the_region(case, settled) -> None:
    """Checked by another program: a smooth likelihood under linear constraints by which all rows keep their experts."""
    _, problem, _, _, _ = case
    terms = problem.passes.terms
    rows = []
    for block in problem.passes.source.blocks():
        for j in np.flatnonzero(block.weight):
            z = block.Z[:, j]
            logit = settled.theta[terms.gate_columns] @ z
            last = int(np.argmin(logit))
            for k in np.delete(np.arange(3), last):
                row = np.zeros(settled.theta.size)
                row[terms.gate_columns[k]], row[terms.gate_columns[last]] = z, -z
                rows.append(row)
    found = minimize(
        lambda theta: -loglik_with_held_experts(problem, theta, settled.theta),
        settled.theta + 1e-9,
        constraints=LinearConstraint(np.array(rows), 0.0, np.inf),
        method="SLSQP",
        options={"maxiter": 200, "ftol": 1e-12},
    )
    assert -found.fun <= settled.loglik + 1e-6


def test_moves_never_lower_the_loglik(case) -> None:
    _, problem, theta, _, _ = case
    solution = solve(problem, AcrossTies(walks=2), theta)
    climbed = [row.loglik for row in solution.trace]
    assert all(a <= b + 1e-10 for a, b in itertools.pairwise(climbed))
    assert solution.converged


def test_search_goes_beyond_the_first_tie(case, settled) -> None:
    """Settling alone stays in its region; tries, crossings and walks leave it."""
    _, problem, _, _, _ = case
    assert solve(problem, AcrossTies(walks=5), settled.theta).loglik > settled.loglik + 0.5


# --------------------------------------------------------------------------------------- what is reported
@pytest.fixture(scope="module")
def fitted(case):
    model, _, _, X, y = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ms.fit(model, X, y, n_starts=6)


def test_the_certificate_names_the_ties(fitted) -> None:
    certificate = fitted.certificate
    assert certificate.status is Status.AT_TIES
    assert certificate.trusted
    text = str(certificate)
    assert "local maximum at switching ties" in text
    assert "if the row crosses" in text
    assert "a local statement" in text
    assert len(certificate.optimum.ties) == len(certificate.optimum.held) > 0


def test_crossing_a_tie_gains_nothing(fitted) -> None:
    gains = [float(words.split(": ")[1].split()[0]) for words in fitted.certificate.optimum.ties]
    assert max(gains) <= 1e-8


def test_standard_errors_are_conditional_on_the_selection(fitted) -> None:
    """Ties are held: the covariance has no variance along their normals."""
    assert "selection" in str(fitted.summary())
    assert (fitted.bse.dropna() > 0).all()


def test_ties_survive_storage(fitted, tmp_path) -> None:
    fitted.save(tmp_path / "fit.npz")
    loaded = ms.load(tmp_path / "fit.npz")
    assert loaded.certificate == fitted.certificate
    np.testing.assert_allclose(loaded.bse, fitted.bse)


@pytest.mark.parametrize("n_active", [1, 2])
def test_an_expert_that_no_row_selects_is_reported(n_active) -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 1))
    y = np.where(X[:, 0] + 0.8 * rng.standard_normal(200) > 0, 2.0, -2.0) + X[:, 0] + 0.5 * rng.standard_normal(200)
    model = ms.MixtureOfExperts(gate=f"topk(n_active={n_active})", n_experts=3)
    start = model.params(
        gate={"intercepts": [0.0, 0.0, -1e3], "slopes": [[1.0], [-1.0], [0.0]]},
        expert={"intercepts": [2.0, -2.0, 0.0], "slopes": [[1.0], [1.0], [0.0]], "variances": 3 * [0.25]},
    )
    with pytest.warns(EmptyExpertWarning, match="Expert 3 is selected by no row"):
        results = ms.fit(model, X, y, start=start)
    assert results.certificate.optimum.empty == (3,)
    assert "expert 3 is selected by no row" in str(results.certificate)
    assert results.expert_load().loc[3, "load"] == 0


def test_of_a_gate_with_one_active_expert_only_the_surface_is_said_to_be_known() -> None:
    rng = np.random.default_rng(6)
    X = rng.standard_normal((150, 2))
    y = np.where(X[:, 0] > 0.2, 2.0, -2.0) + X[:, 1] + 0.5 * rng.standard_normal(150)
    model = ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=2)
    text = str(ms.fit(model, X, y, n_starts=3).certificate)
    assert "switching surface  all that the rows know of the gate" in text
    assert "a local statement" in text
    assert "95 % sure" not in text  # not all ends were looked around


def test_continuous_gates_have_no_ties(case) -> None:
    _, _, _, X, y = case
    dense = ms.MixtureOfExperts(n_experts=3)
    problem = Problem.of(dense, dense.data(X, y))
    assert ties_at(problem, np.zeros(problem.layout.size)) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_surface_is_found_where_a_dense_gate_never_changes_its_leader(seed: int) -> None:
    """The rows mix two lines whatever the covariate; the best break is found by trying all."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-1, 1, 150))
    y = np.where(rng.random(150) < special.expit(1 + x), x, 2 - x) + 0.3 * rng.standard_normal(150)

    def loglik(part: slice) -> float:
        A = np.column_stack([np.ones_like(x[part]), x[part]])
        residual = y[part] - A @ np.linalg.lstsq(A, y[part], rcond=None)[0]
        return float(-0.5 * residual.size * (np.log(2 * np.pi * np.mean(residual**2)) + 1))

    best = max(loglik(slice(0, i)) + loglik(slice(i, None)) for i in range(30, 121))
    results = ms.fit(ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=2), x[:, None], y)
    assert results.llf >= best - 1e-9
