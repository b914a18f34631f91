"""The laws of the component contract, over every gate and every expert.

Registered components and the sketches of this folder go through the same laws. What is expected comes from
`formulas`, which shares nothing with the package but the parameters' places in the flat vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from scipy import integrate, special, stats

from moestat.component import Component, Dims, Expert, Gate
from moestat.coordinates import Affine, Blend, ColumnMap, Coordinates
from moestat.data import Block, Data
from moestat.errors import InputError
from moestat.experts import Binomial, Gamma, Gaussian, Multinomial, Noise, Poisson
from moestat.gate_information import General, information_of
from moestat.gates import Gaussian as GaussianGate
from moestat.gates import Laplace, Softmax, TopK
from moestat.gates.nested import jacobian
from moestat.gates.topk import SURFACE
from moestat.passes import Passes
from moestat.sketch import sketch
from moestat.sums import GateCurvature, HessianSums
from moestat.terms import Terms, Tile
from moestat.typing import BoolArray, FloatArray, IntArray
from tests.conformance import formulas
from tests.conformance.problems import (
    ALL_EXPERTS,
    ALL_GATES,
    EACH_EXPERT,
    EACH_GATE,
    PAIRS,
    Problem,
    build,
    gates_where,
    model_layout,
    n_experts,
    over,
    raw,
)
from tests.conformance.sketches import Background

# Every tolerance is relative to the largest entry of what is compared.
# The same sum by another route, or by complex steps: hundreds of roundings of 1e-16, which cancel in part.
ROUNDING = 1e-12
# Five points, step 1e-5: rounding is 1e-15 / step; truncation is smaller until a logit comes near a switch.
DIFFERENCES = 1e-8


@pytest.fixture
def problem(request: pytest.FixtureRequest) -> Problem:
    return build(*request.param)


def assert_close(actual: FloatArray, expected: FloatArray, tolerance: float, least: float = 1e-300) -> None:
    """To a share of the largest number expected, or of ``least``, the size of terms that may cancel altogether."""
    size = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance * max(size, least))


def differences(f: Callable[[FloatArray], FloatArray], at: FloatArray, step: float = 1e-5) -> FloatArray:
    """Derivatives (P, ...) of f by the five-point rule."""
    columns = []
    for e in step * np.eye(at.size):
        columns.append((8 * (f(at + e) - f(at - e)) - (f(at + 2 * e) - f(at - 2 * e))) / (12 * step))
    return np.array(columns).reshape(at.size, *np.shape(f(at)))


def test_rows_fill_several_tiles_and_the_last_is_padded() -> None:
    blocks = list(build("softmax", "gaussian").source.blocks())
    assert len(blocks) > 2
    assert (blocks[-1].weight == 0).any()


# --------------------------------------------------------------------------------------- likelihood and score
@over(PAIRS)
def test_loglik_is_the_sum_over_rows(problem: Problem) -> None:
    """sum_i w_i [LSE(h + b) - LSE(h)], by any of the passes."""
    expected = problem.rows.weight @ problem.row_loglik(problem.theta)
    assert_close(problem.loglik(problem.theta), expected, ROUNDING)
    for sums in (problem.passes.score, problem.passes.em, problem.passes.hessian):
        assert_close(sums(problem.theta).loglik, expected, ROUNDING)


@over(PAIRS)
def test_responsibilities_are_posterior_probabilities(problem: Problem) -> None:
    """R = w r and PI = softmax(h); a joint likelihood has no weights of its own."""
    weights, posterior = problem.posterior()
    keep = problem.rows.weight > 0
    R = problem.rowwise("R")
    assert_close(R, (posterior * problem.rows.weight[:, None])[keep], ROUNDING)
    PI = problem.rowwise("PI")
    assert_close(PI, weights[keep] * problem.gate.normalised, ROUNDING)


@over(PAIRS)
def test_masses_and_entropy_are_those_of_the_posterior(problem: Problem) -> None:
    sums, (_, posterior) = problem.passes.shares(problem.theta), problem.posterior()
    assert_close(sums.mass, problem.rows.weight @ posterior, ROUNDING)
    assert_close(sums.entropy, problem.rows.weight @ special.entr(posterior).sum(axis=1), ROUNDING)


@over(PAIRS)
def test_score_is_the_derivative_of_the_loglik(problem: Problem) -> None:
    expected = problem.rows.weight @ problem.row_scores()
    assert_close(problem.passes.score(problem.theta).score, expected, ROUNDING)


@over(PAIRS)
def test_every_pass_has_the_same_score(problem: Problem) -> None:
    expected = problem.passes.score(problem.theta).score
    assert_close(problem.passes.em(problem.theta).score, expected, ROUNDING)
    assert_close(problem.passes.hessian(problem.theta).score, expected, ROUNDING)


# --------------------------------------------------------------------------------------- second order
@over(PAIRS)
def test_hessian_is_the_derivative_of_the_score(problem: Problem) -> None:
    expected = differences(lambda theta: problem.passes.score(theta).score, problem.theta)
    assert_close(problem.passes.hessian(problem.theta).hessian, expected, DIFFERENCES)


@over(PAIRS)
def test_outer_products_are_those_of_the_row_scores(problem: Problem) -> None:
    rows = problem.row_scores()
    expected = (rows.T * problem.rows.weight) @ rows
    assert_close(problem.passes.outer_products(problem.theta).matrix, expected, ROUNDING)


@over(PAIRS)
def test_both_ways_to_the_gate_information_agree(problem: Problem) -> None:
    """The gate's own way, by features, pairs or parts, does for the sum by Jacobians that any gate has."""
    general, own = (
        problem.passes.reduce(partial(GateCurvature, problem.terms, problem.theta, way), problem.theta).matrix
        for way in (General, information_of)
    )
    assert_close(own, general, ROUNDING, problem.source.total_weight)


class HeldScore:
    """Gradient (P,) at ``at`` of Q, the expected complete log-likelihood with responsibilities held."""

    def __init__(self, terms: Terms, at: FloatArray) -> None:
        self.terms, self.score = terms, np.zeros(terms.size)
        self.gate, self.expert = at[terms.gate_columns], at[terms.expert_columns]

    def add(self, tile: Tile) -> None:
        terms, block, R = self.terms, tile.block, tile.R
        H, E = np.empty_like(R), np.empty_like(R)
        terms.gate.value(self.gate, block, H)
        terms.expert.value(self.expert, block, E)
        D = R - block.weight * special.softmax(H, axis=0) * terms.gate.normalised
        gate, expert = np.zeros_like(self.gate), np.zeros_like(self.expert)
        terms.gate.pull(self.gate, block, H, D, gate)
        terms.expert.pull(self.expert, block, E, R, expert)
        np.add.at(self.score, terms.gate_columns, gate)
        np.add.at(self.score, terms.expert_columns, expert)


def held_score(problem: Problem, at: FloatArray) -> FloatArray:
    return problem.passes.reduce(partial(HeldScore, problem.terms, at), problem.theta).score


@over(PAIRS)
def test_em_informations_are_minus_the_hessian_of_Q(problem: Problem) -> None:
    """Q splits: one block for the gate, one for the experts."""
    n = problem.terms.n_gate
    expected = -differences(lambda at: held_score(problem, at), problem.theta)
    sums = problem.passes.em(problem.theta)
    if not problem.gate.closed_form:
        assert_close(sums.gate_information, expected[:n, :n], DIFFERENCES, problem.source.total_weight)
    if not problem.expert.closed_form:
        assert_close(sums.expert_information, expected[n:, n:], DIFFERENCES)


CLOSED_FORM = [("softmax", name) for name, expert in ALL_EXPERTS.items() if expert(3).closed_form]


@over(CLOSED_FORM)
def test_closed_form_m_step_leaves_no_gradient(problem: Problem) -> None:
    """The experts' part of Q is stationary after the step."""
    terms, n = problem.terms, problem.terms.n_gate
    local, _ = terms.expert.m_step(problem.theta[terms.expert_columns], problem.passes.em(problem.theta).moments)
    after = problem.theta.copy()
    after[terms.expert_columns] = local
    scale = np.abs(held_score(problem, problem.theta)[n:]).max()
    # the gradient of a sum of 80 terms that cancel, after solving with Gram matrices of condition 1e2
    assert np.abs(held_score(problem, after)[n:]).max() < 1e-11 * scale


@over(CLOSED_FORM)
def test_both_ways_to_the_m_step_agree(problem: Problem) -> None:
    """Normal equations, and triangular factors of the least-squares rows."""
    local, moments = problem.theta[problem.terms.expert_columns], problem.passes.em(problem.theta).moments
    plain, score = problem.terms.expert.m_step(local, moments)
    factored, same_score = problem.terms.expert.m_step(local, moments, problem.passes.factors(problem.theta).factors)
    assert_close(factored, plain, 1e-11)  # rounding times the condition of Gram matrices, below 1e3
    assert np.array_equal(score, same_score)


# --------------------------------------------------------------------------------------- components alone
@dataclass(frozen=True)
class Side:
    """One component, its columns and parameters, and a block."""

    component: Component
    columns: IntArray
    theta: FloatArray
    block: Block

    def value(self, theta: FloatArray) -> FloatArray:
        """V (K, B), with 0 for experts that are switched off."""
        V = self.raw_value(theta)
        return np.where(np.isfinite(V), V, 0.0)

    def raw_value(self, theta: FloatArray) -> FloatArray:
        V = np.empty((len(self.columns), self.block.weight.size))
        self.component.value(theta[self.columns], self.block, V)
        return V

    def local_jac(self, theta: FloatArray) -> FloatArray:
        rows = 1 if self.component.known_features else len(self.columns)
        J = np.empty((rows, self.columns.shape[1], self.block.weight.size))
        self.component.jac(theta[self.columns], self.block, self.raw_value(theta), J)
        return np.broadcast_to(J, (len(self.columns), *J.shape[1:]))

    def jac(self, theta: FloatArray) -> FloatArray:
        """Derivatives (P, K, B) in the flat parameters."""
        J = np.zeros((theta.size, len(self.columns), self.block.weight.size))
        for k, (columns, local) in enumerate(zip(self.columns, self.local_jac(theta), strict=True)):
            np.add.at(J[:, k], columns, local)
        return J

    def shared(self, each: FloatArray) -> FloatArray:
        """Sums over experts that have the very same parameters."""
        which = np.unique(self.columns, axis=0, return_inverse=True)[1].ravel()
        out = np.zeros((which.max() + 1, *each.shape[1:]))
        np.add.at(out, which, each)
        return out

    def weights(self) -> FloatArray:
        """Random weights of either sign, 0 for experts that are switched off: as R and D are."""
        V = self.raw_value(self.theta)
        return np.where(np.isfinite(V), np.random.default_rng(3).standard_normal(V.shape), 0.0)


@pytest.fixture(params=[*ALL_GATES, *ALL_EXPERTS])
def side(request: pytest.FixtureRequest) -> Side:
    """Every gate, then every expert."""
    name = request.param
    p = build(name, "gaussian") if name in ALL_GATES else build("softmax", name)
    n, block = p.terms.n_gate, next(p.source.blocks())
    if name in ALL_GATES:
        return Side(p.terms.gate, p.terms.gate_columns, p.theta[:n], block)
    return Side(p.terms.expert, p.terms.expert_columns - n, p.theta[n:], block)


def test_columns_name_every_parameter(side: Side) -> None:
    assert set(side.columns.ravel()) == set(range(side.theta.size))


def test_jac_is_the_derivative_of_value(side: Side) -> None:
    """Wherever the logit is finite; where it is not, J need only be finite."""
    on = np.isfinite(side.raw_value(side.theta))
    J = side.jac(side.theta)
    assert np.isfinite(J).all()
    assert_close(J * on, differences(side.value, side.theta), DIFFERENCES)


def test_curv_is_the_derivative_of_jac(side: Side) -> None:
    """d/d theta of sum_i c_ki dV_ki, expert by expert, or summed over those who share all their parameters."""
    c, K, P = side.weights(), len(side.columns), side.theta.size
    local = np.zeros((K, *side.columns.shape[1:], *side.columns.shape[1:]))
    side.component.curv(side.theta[side.columns], side.block, side.raw_value(side.theta), c, local)
    curv = np.zeros((K, P, P))
    np.add.at(curv, (np.arange(K)[:, None, None], side.columns[:, :, None], side.columns[:, None, :]), local)
    expected = differences(lambda theta: np.einsum("kb,pkb->kp", c, side.jac(theta)), side.theta).swapaxes(0, 1)
    if side.component.known_features:
        assert np.abs(curv).max() == 0.0
    else:
        assert_close(side.shared(curv), side.shared(expected), DIFFERENCES)


def test_curv_adds_to_what_is_there(side: Side) -> None:
    """Tiles add up in the same array."""
    local, value, c = side.theta[side.columns], side.raw_value(side.theta), side.weights()
    once, twice = np.zeros((2, *local.shape, local.shape[1]))
    side.component.curv(local, side.block, value, c, once)
    for _ in range(2):
        side.component.curv(local, side.block, value, c, twice)
    assert_close(twice, 2 * once, ROUNDING)


def test_pull_is_the_contraction_of_jac(side: Side) -> None:
    """pull adds sum_i c_ki J_ki to what is there."""
    local, value, c = side.theta[side.columns], side.raw_value(side.theta), side.weights()
    out = np.ones(local.shape)
    side.component.pull(local, side.block, value, c, out)
    expected = np.einsum("kb,kab->ka", c, side.local_jac(side.theta))
    assert_close(side.shared(out - 1.0), side.shared(expected), ROUNDING)


@over(EACH_GATE + EACH_EXPERT)
def test_start_is_a_record_with_finite_likelihood(problem: Problem) -> None:
    block = sketch(problem.source, 60, 4)
    K = problem.terms.n_experts
    resp = np.random.default_rng(5).dirichlet(np.ones(K), size=block.weight.size).T * block.weight
    schema, layouts = problem.source.schema, dict(problem.layout.entries)
    sides = (("gate", problem.gate), ("expert", problem.expert))
    record = SimpleNamespace(**{name: part.start(layouts[name], block, resp, schema) for name, part in sides})
    assert np.isfinite(problem.loglik(problem.layout.pack(record)))


@over(EACH_EXPERT)
def test_mean_jac_is_the_derivative_of_mean(problem: Problem) -> None:
    terms, block, n = problem.terms, next(problem.source.blocks()), problem.terms.n_gate
    columns = terms.expert_columns - n
    local = terms.expert.mean_jac(problem.theta[terms.expert_columns], block)
    flat = np.zeros((terms.size - n, len(local), *local.shape[2:]))
    for k, rows in enumerate(local):
        np.add.at(flat[:, k], columns[k], rows)
    expected = differences(lambda theta: terms.expert.mean(theta[columns], block), problem.theta[n:])
    assert_close(flat, expected, DIFFERENCES)


@over([("softmax", name) for name, expert in ALL_EXPERTS.items() if expert(3).has_cdf and expert(3).scales_response])
def test_density_is_the_derivative_of_the_cdf(problem: Problem) -> None:
    terms, block = problem.terms, next(problem.source.blocks())
    local, h = problem.theta[terms.expert_columns], 1e-5
    E = np.empty((len(local), block.weight.size))
    terms.expert.value(local, block, E)

    def cdf(shift: float) -> FloatArray:
        return terms.expert.cdf(local, block, block.Y[0] + shift)

    slope = (8 * (cdf(h) - cdf(-h)) - (cdf(2 * h) - cdf(-2 * h))) / (12 * h)
    assert_close(slope, np.exp(E), DIFFERENCES)


@over(EACH_EXPERT)
def test_draws_have_the_mean(problem: Problem) -> None:
    """Averages over 4000 draws of each row of a block lie within 6 standard errors of the mean."""
    terms, block = problem.terms, next(problem.source.blocks())
    local, B, repeats = problem.theta[terms.expert_columns], block.weight.size, 4000
    wide = Block(*(np.tile(part, repeats) for part in (block.X, block.Z, block.Y, block.offset, block.weight)))
    rng = np.random.default_rng(6)
    for k in range(terms.n_experts):
        chosen = np.full(repeats * B, k)
        drawn = terms.expert.draw(local, wide, chosen, rng).reshape(-1, repeats, B).swapaxes(0, 1)
        mean = terms.expert.mean(local, block)[k]
        if problem.expert.categorical:
            drawn = (drawn == np.arange(len(mean))[:, None]).astype(float)
        error = drawn.std(axis=0) / np.sqrt(repeats) + 1e-3
        assert (np.abs(drawn.mean(axis=0) - mean) < 6 * error).all()


# --------------------------------------------------------------------------------------- invariances
def flow(problem: Problem, which: int, time: float) -> FloatArray:
    """Parameters after following one direction, which may turn on the way."""

    def direction(_: float, theta: FloatArray) -> FloatArray:
        return problem.terms.invariances(theta)[which]

    return integrate.solve_ivp(direction, (0.0, time), problem.theta, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]


def is_of_a_surface(names: tuple[str, ...]) -> BoolArray:
    """Which directions leave weights alone only while a switching surface passes no row."""
    return np.array([name.startswith(SURFACE) for name in names], dtype=bool)


def shortest_way_to_a_row(problem: Problem) -> float:
    """A step of the gate's parameters, in any one of them, that is too short to switch a row."""
    columns, gate = problem.terms.gate_columns, problem.terms.gate
    local, found = problem.theta[columns], np.inf
    for block in problem.source.blocks():
        H, J = np.empty((len(columns), block.weight.size)), np.empty((*local.shape, block.weight.size))
        gate.value(local, block, H)
        J[:] = jacobian(gate, local, block, H)
        found = min(found, gate.closest(local, block)[0].min() / np.abs(J).max())
    return 0.1 * found


@over(EACH_GATE)
def test_every_invariance_has_a_name_and_a_constraint(problem: Problem) -> None:
    """What canonical parameters hold constant; of pinned positions, these themselves.

    Moves of a switching surface share one name for each surface. Not all of them have a constraint: nothing canonical
    is known of a surface that lies anywhere between its nearest rows; a covariance refuses what is left open.
    """
    layout, pinned = problem.gate_layout, problem.gate.pinned(problem.gate_layout)
    theta = problem.gate.canonical(layout, problem.theta[: layout.size])
    directions, names = problem.gate.invariances(layout, theta)
    held = problem.gate.constraints(layout, theta)
    of_surface = is_of_a_surface(names)
    once = [name for name, moves in zip(names, of_surface, strict=True) if not moves]
    assert len(directions) == len(names)
    assert len(once) == len(set(once)) <= len(held) <= len(names)
    assert len(held) == len(names) or of_surface.any()
    # the constraints pick out as many of the directions
    assert np.linalg.matrix_rank(held @ directions.T) == len(held)
    assert all((held == row).all(axis=1).any() for row in np.eye(layout.size)[pinned])


@over(EACH_GATE + EACH_EXPERT)
def test_following_an_invariance_keeps_the_loglik(problem: Problem) -> None:
    """For any length. Most directions are straight; a ray (a scale shared with a temperature) turns.

    Moves of a switching surface reach as far as the next row.
    """
    expected = problem.loglik(problem.theta)
    names = problem.terms.invariance_names(problem.theta)
    for which, moves_surface in enumerate(is_of_a_surface(names)):
        time = shortest_way_to_a_row(problem) if moves_surface else 0.7
        moved = flow(problem, which, time)
        assert np.abs(moved - problem.theta).max() > time / 7
        # what the integrator leaves
        assert_close(problem.loglik(moved), expected, 1e-10)


@over(EACH_GATE + EACH_EXPERT)
def test_score_is_orthogonal_to_the_invariances(problem: Problem) -> None:
    score = problem.passes.score(problem.theta).score
    along = problem.terms.invariances(problem.theta) @ score
    assert np.abs(along).max(initial=0.0) < ROUNDING * np.abs(score).max()


@over(EACH_GATE + EACH_EXPERT)
def test_hessian_vanishes_along_the_invariances(problem: Problem) -> None:
    """score . d = 0 differentiated: H d = -(turn of d)' score, 0 for straight directions and at a maximum."""
    sums = problem.passes.hessian(problem.theta)
    turn = differences(problem.terms.invariances, problem.theta)  # (P, r, P)
    for which, d in enumerate(problem.terms.invariances(problem.theta)):
        expected = -turn[:, which] @ sums.score
        assert np.abs(sums.hessian @ d - expected).max() < 1e-11 * np.abs(sums.hessian).max()


@over(EACH_GATE)
def test_canonical_keeps_the_loglik_and_holds_the_pinned(problem: Problem) -> None:
    """Equal likelihood, pinned entries at a constant whatever the parameters, and nothing left to do."""
    n, layout, pinned = problem.terms.n_gate, problem.gate_layout, problem.gate.pinned(problem.gate_layout)
    canonical = problem.gate.canonical(layout, problem.theta[:n])
    other = problem.gate.canonical(layout, problem.theta[:n] + 1.0 + np.arange(n))
    assert np.array_equal(canonical[pinned], other[pinned])
    assert_close(problem.gate.canonical(layout, canonical), canonical, ROUNDING)
    theta = np.concatenate([canonical, problem.theta[n:]])
    assert_close(problem.loglik(theta), problem.loglik(problem.theta), ROUNDING)


@over(EACH_GATE + EACH_EXPERT)
def test_pinning_removes_exactly_the_invariances(problem: Problem) -> None:
    """No direction leaves all that canonical parameters hold constant in place, but those of a switching surface."""
    theta = problem.terms.canonical(problem.theta)
    everywhere = ~is_of_a_surface(problem.terms.invariance_names(theta))
    directions = problem.terms.invariances(theta)[everywhere]
    moved = directions @ problem.terms.constraints(theta).T
    assert np.linalg.matrix_rank(moved) == len(directions)


@over(EACH_GATE)
def test_constraints_are_held_by_the_canonical_form(problem: Problem) -> None:
    """To first order: however the parameters move, their canonical form moves within the constraints."""
    n, layout = problem.terms.n_gate, problem.gate_layout
    theta = problem.gate.canonical(layout, problem.theta[:n])
    moves = differences(lambda at: problem.gate.canonical(layout, at), theta)  # (P, P)
    held = problem.gate.constraints(layout, theta)
    assert np.abs(moves @ held.T).max(initial=0.0) < DIFFERENCES


@over(EACH_GATE + EACH_EXPERT)
def test_invariances_are_complete(problem: Problem) -> None:
    """The information of random rows has rank P - r: whatever is not identified has been declared."""
    matrix = problem.passes.outer_products(problem.theta).matrix
    scale = np.sqrt(np.diag(matrix))
    scale = np.maximum(scale, 1e-7 * scale.max())  # what no row feels has rounding only
    eigenvalues = np.linalg.eigvalsh(matrix / scale / scale[:, None])
    r = len(problem.terms.invariances(problem.theta))
    assert np.abs(eigenvalues[:r]).max(initial=0.0) < 1e-13 * eigenvalues[-1]
    assert eigenvalues[r] > 1e-7 * eigenvalues[-1]  # six digits above the zeros, which are rounding


# --------------------------------------------------------------------------------------- labels, rows, units
def of_one_family(expert: str, K: int) -> bool:
    return np.unique(ALL_EXPERTS[expert](K).kinds(K)).size == 1


EXCHANGEABLE = [
    (gate, expert)
    for gate, expert in PAIRS
    if ALL_GATES[gate].exchangeable and of_one_family(expert, n_experts(ALL_GATES[gate]))
]


@over(EACH_GATE + EACH_EXPERT)
def test_ordering_experts_keeps_the_loglik(problem: Problem) -> None:
    """Whatever relabelling the gate and the families allow; two calls do no more than one."""
    terms, rng = problem.terms, np.random.default_rng(14)
    kinds = problem.expert.kinds(terms.n_experts)
    for _ in range(4):
        mass = rng.random(terms.n_experts)
        order = problem.gate.order(mass, kinds)
        assert np.array_equal(kinds[order], kinds)
        moved = terms.by_mass(problem.theta, mass)
        assert_close(problem.loglik(moved), problem.loglik(problem.theta), ROUNDING)
        old, new = problem.passes.shares(problem.theta), problem.passes.shares(moved)
        assert_close(new.mass, old.mass[order], ROUNDING)
        assert np.array_equal(terms.by_mass(moved, mass[order]), moved)
        if problem.gate.exchangeable:
            assert all((np.diff(mass[order][kinds == kind]) <= 0).all() for kind in kinds)


@over(EACH_GATE)
def test_a_dilation_multiplies_the_logits(problem: Problem) -> None:
    """But for a term in common: differences of logits grow by e^t, and the tangent is the derivative."""
    dilation = problem.gate.dilation(problem.gate_layout)
    if dilation is None:
        return
    layout, theta, t = problem.gate_layout, problem.theta[: problem.terms.n_gate], 0.3

    def spread(theta: FloatArray) -> FloatArray:
        h = formulas.logits(problem.gate, formulas.fields(layout, theta), problem.rows.Z)
        on = np.isfinite(h)
        return np.where(on, h - np.where(on, h, 0.0).sum(axis=1, keepdims=True) / on.sum(axis=1, keepdims=True), 0.0)

    assert_close(spread(dilation.apply(theta, t)), np.exp(t) * spread(theta), ROUNDING)
    h = 1e-5
    assert_close((dilation.apply(theta, h) - dilation.apply(theta, -h)) / (2 * h), dilation.direction(theta), 1e-9)


@over(EXCHANGEABLE)
def test_relabelling_keeps_the_loglik(problem: Problem) -> None:
    order = np.roll(np.arange(problem.terms.n_experts), 1)
    relabelled = problem.layout.permute(problem.theta, order)
    assert not np.array_equal(relabelled, problem.theta)
    assert_close(problem.loglik(relabelled), problem.loglik(problem.theta), ROUNDING)
    old, new = problem.passes.shares(problem.theta), problem.passes.shares(relabelled)
    assert_close(new.mass, old.mass[order], ROUNDING)


def assert_same_sums(actual: Passes, expected: Passes, theta: FloatArray) -> None:
    a, b = actual.hessian(theta), expected.hessian(theta)
    assert_close(a.loglik, b.loglik, ROUNDING)
    assert_close(a.score, b.score, ROUNDING)
    assert_close(a.hessian, b.hessian, ROUNDING)


@over(PAIRS)
def test_the_size_of_blocks_does_not_matter(problem: Problem) -> None:
    for block_rows in (8, 1000):
        assert_same_sums(problem.on(problem.rows.data(block_rows=block_rows)), problem.passes, problem.theta)


@over(PAIRS)
def test_narrow_tiles_make_the_same_sums(problem: Problem) -> None:
    """A pass that keeps much per row cuts wide blocks to what the cache holds."""
    passes = problem.on(problem.rows.data(block_rows=1000))
    narrow = passes.reduce(partial(HessianSums, problem.terms, problem.theta), problem.theta, height=10**6)
    wide = passes.hessian(problem.theta)
    assert_close(narrow.loglik, wide.loglik, ROUNDING)
    assert_close(narrow.score, wide.score, ROUNDING)
    assert_close(narrow.hessian, wide.hessian, ROUNDING)


@over(PAIRS)
def test_a_pass_leaves_nothing_behind(problem: Problem) -> None:
    """Buffers are kept from pass to pass; what they hold must not matter, to the last bit."""
    passes, theta, elsewhere = problem.passes, problem.theta, problem.theta + 0.3
    fresh = passes.hessian(theta)
    for sums in (passes.em, passes.outer_products, passes.expert_information, passes.score, passes.shares):
        sums(elsewhere)
    passes.reduce(partial(GateCurvature, problem.terms, elsewhere, General), elsewhere)
    again = passes.hessian(theta)
    assert again.loglik == fresh.loglik
    assert np.array_equal(again.score, fresh.score)
    assert np.array_equal(again.hessian, fresh.hessian)


def gate_information(passes: Passes, theta: FloatArray) -> FloatArray:
    """As EM adds it up, or as asked for where EM does without."""
    closed = passes.terms.gate.closed_form
    return passes.gate_q(theta, theta).information if closed else passes.em(theta).gate_information


@over(PAIRS)
def test_blocks_may_differ_in_size(problem: Problem) -> None:
    """Files and streams end their batches where they like."""
    first = raw(problem.rows.data(slice(0, 50), block_rows=16))
    second = raw(problem.rows.data(slice(50, None), block_rows=1000))
    assert next(first.blocks()).weight.size != next(second.blocks()).weight.size
    n_rows = first.n_rows + second.n_rows
    both = SimpleNamespace(blocks=lambda: chain(first.blocks(), second.blocks()), n_rows=n_rows)
    streamed = Passes(problem.terms, both)
    assert_same_sums(streamed, problem.passes, problem.theta)
    a, b = (passes.outer_products(problem.theta).matrix for passes in (streamed, problem.passes))
    assert_close(a, b, ROUNDING)
    a, b = (gate_information(passes, problem.theta) for passes in (streamed, problem.passes))
    assert_close(a, b, ROUNDING, problem.source.total_weight)


@over([(*pair, "in common") for pair in PAIRS])
def test_covariates_in_common_may_be_a_copy(problem: Problem) -> None:
    """When Z is X itself, passes may share work; when Z is a copy of X they cannot."""
    copied = problem.on(replace(problem.rows, Z=problem.rows.X.copy()).data(block_rows=24))
    first, other = (next(passes.source.blocks()) for passes in (problem.passes, copied))
    assert first.Z is first.X
    assert other.Z is not other.X
    assert_same_sums(problem.passes, copied, problem.theta)
    same, apart = (passes.em(problem.theta) for passes in (problem.passes, copied))
    assert_close(same.score, apart.score, ROUNDING)
    if not problem.gate.closed_form:
        assert_close(same.gate_information, apart.gate_information, ROUNDING, problem.source.total_weight)


@over(PAIRS)
def test_a_row_of_weight_zero_is_absent(problem: Problem) -> None:
    """To the last bit: such rows are never read."""
    keep = np.flatnonzero(problem.rows.weight)
    assert keep.size < problem.rows.weight.size
    some, every = problem.on(problem.rows.data(keep)), problem.on(problem.rows.data())
    a, b = some.hessian(problem.theta), every.hessian(problem.theta)
    assert a.loglik == b.loglik
    assert np.array_equal(a.score, b.score)
    assert np.array_equal(a.hessian, b.hessian)


@over(PAIRS)
def test_weight_two_is_a_row_repeated(problem: Problem) -> None:
    n = problem.rows.weight.size
    count = np.random.default_rng(8).integers(0, 3, size=n)
    repeated = np.repeat(np.arange(n), count)
    weighted = problem.rows.data(weight=count.astype(float), block_rows=24)
    plain = problem.rows.data(repeated, weight=np.ones(repeated.size), block_rows=24)
    assert_same_sums(problem.on(weighted), problem.on(plain), problem.theta)


@over(PAIRS)
def test_working_coordinates_cost_one_jacobian(problem: Problem) -> None:
    """Carried parameters: the raw log-likelihood plus sum w log scale_y, as densities are per unit of y.

    A joint likelihood is one per unit of the gate's covariates as well.
    """
    source = problem.rows.data(block_rows=24)
    at = _allowed(problem, source.moments)
    params = problem.layout.unpack(problem.theta)
    moved = problem.layout.pack(_carried(problem, params, at.Z, at.X, at.y))
    expected = problem.loglik(problem.theta) + source.total_weight * log_units(problem, at)
    assert_close(_placed(problem, source.in_coordinates(at)).loglik(moved), expected, ROUNDING)
    back = _carried(problem, problem.layout.unpack(moved), at.Z.inverse(), at.X.inverse(), at.y.inverse())
    assert_close(problem.layout.pack(back), problem.theta, ROUNDING)


@over(PAIRS)
def test_mixed_coordinates_cost_one_jacobian(problem: Problem) -> None:
    """Combinations of covariates serve as well as the covariates, where the components say so."""
    source = problem.rows.data(block_rows=24)
    at = _allowed(problem, source.moments)
    X, Z = (
        _mixture(part) if component.mixable else part
        for part, component in ((at.X, problem.expert), (at.Z, problem.gate))
    )
    params = problem.layout.unpack(problem.theta)
    moved = problem.layout.pack(_carried(problem, params, Z, X, at.y))
    expected = problem.loglik(problem.theta) + source.total_weight * log_units(problem, at)
    mixed = source.in_coordinates(Coordinates(X, Z, at.y))
    assert_close(_placed(problem, mixed).loglik(moved), expected, ROUNDING)
    back = _carried(problem, problem.layout.unpack(moved), Z.inverse(), X.inverse(), at.y.inverse())
    assert_close(problem.layout.pack(back), problem.theta, ROUNDING)


def log_units(problem: Problem, at: Coordinates) -> float:
    units = [at.y.scale] if problem.gate.normalised else [at.y.scale, at.Z.scale]
    return float(np.log(np.concatenate(units)).sum())


def _placed(problem: Problem, source: Data) -> Passes:
    """Passes over rows in working coordinates: what is known of a density is known in the user's units."""
    terms = problem.terms
    return Passes(replace(terms, expert=terms.expert.placed(source.coordinates)), source)


def _mixture(standard: ColumnMap) -> Blend:
    """Combinations drawn at random, of condition ten or so."""
    assert isinstance(standard, Affine)
    d = standard.size
    rng = np.random.default_rng(12)
    mix = np.eye(d) + 0.3 * rng.standard_normal((d, d))
    return Blend(standard, mix, np.linalg.inv(mix), rng.standard_normal(d), np.zeros(d, dtype=bool))


@over(PAIRS)
def test_where_covariates_are_related_null_directions_change_nothing(problem: Problem) -> None:
    """The last covariate is a combination of the first and a constant; far along each direction, to rounding."""
    relation = np.zeros((2, 1 + problem.rows.X.shape[1])), np.zeros((1, 1 + problem.rows.Z.shape[1]))
    X, Z = problem.rows.X.copy(), problem.rows.Z.copy()
    X[:, -1], Z[:, -1] = 2.0 - 0.5 * X[:, 0], 1.0 + Z[:, 0]
    X[:, -2] = 3.0
    relation[0][0, [0, 1, -1]], relation[0][1, [0, -2]] = [2.0, -0.5, -1.0], [3.0, -1.0]
    relation[1][0, [0, 1, -1]] = [1.0, 1.0, -1.0]
    passes = problem.on(replace(problem.rows, X=X, Z=Z).data(block_rows=24))
    here = passes.loglik(problem.theta)
    for part, component, rows in (("expert", problem.expert, relation[0]), ("gate", problem.gate, relation[1])):
        layout, start = problem.layout.part(part), problem.layout.start_of(part)
        for direction in component.null_directions(layout, rows):
            there = problem.theta.copy()
            there[start : start + layout.size] += direction
            assert np.abs(direction).max() >= 0.5
            assert_close(passes.loglik(there), here, ROUNDING)


@over(PAIRS)
def test_mixable_components_have_their_predictors(problem: Problem) -> None:
    """An intercept and as many slopes as covariates, no parameter twice; without covariates there are none."""
    for part, component, columns in (
        ("expert", problem.expert, problem.rows.X),
        ("gate", problem.gate, problem.rows.Z),
    ):
        predictors = component.predictors(problem.layout.part(part))
        assert component.equivariant or not component.mixable
        assert np.unique(predictors).size == predictors.size
        assert not len(predictors) or (component.mixable and predictors.shape[1] == 1 + columns.shape[1])


def _allowed(problem: Problem, moments: Coordinates) -> Coordinates:
    """Standardised as far as the components can follow."""
    X, Z = problem.expert.coordinates(moments.X), problem.gate.coordinates(moments.Z)
    y = moments.y if problem.expert.shifts_response else moments.y.without_location()
    return Coordinates(X, Z, y if problem.expert.scales_response else Affine.identity(moments.y.size))


def _carried(problem: Problem, params: SimpleNamespace, Z: ColumnMap, X: ColumnMap, y: Affine) -> SimpleNamespace:
    still = Z.same_as(Affine.identity(Z.size))
    gate = params.gate if still else problem.gate.rescale(params.gate, Z)
    return SimpleNamespace(gate=gate, expert=problem.expert.rescale(params.expert, X, y))


@over(gates_where(lambda gate: not gate.equivariant))
def test_a_gate_that_cannot_follow_says_so(problem: Problem) -> None:
    params = problem.layout.unpack(problem.theta)
    with pytest.raises(InputError, match="not equivariant"):
        problem.gate.rescale(params.gate, Affine(np.ones(2), np.full(2, 2.0)))


# --------------------------------------------------------------------------------------- switched-off experts
@over(PAIRS)
def test_a_switched_off_expert_takes_no_part(problem: Problem) -> None:
    """Off where the formula says so, weight and responsibility exactly zero, and every sum finite."""
    off = np.isneginf(problem.rowwise("H"))
    keep = problem.rows.weight > 0
    p = formulas.fields(problem.gate_layout, problem.theta[: problem.terms.n_gate])
    assert np.array_equal(off, np.isneginf(formulas.logits(problem.gate, p, problem.rows.Z[keep])))
    for name in ("PI", "R", "D"):
        assert (problem.rowwise(name)[off] == 0.0).all()
    hessian, em = problem.passes.hessian(problem.theta), problem.passes.em(problem.theta)
    for array in (hessian.score, hessian.hessian, em.score, em.gate_information):
        assert np.isfinite(array).all()


@pytest.mark.parametrize(
    "gate",
    [
        "sparsemax",
        "entmax(1.5)",
        "threshold(mass)",
        "threshold(margin)",
        "topk(score)",
        "topk(laplace)",
        "hierarchical(softmax, topk(laplace))",
    ],
)
def test_sparse_gates_do_switch_experts_off(gate: str) -> None:
    """Otherwise the law above would hold for want of cases."""
    off = np.isneginf(build(gate, "gaussian").rowwise("H"))
    assert 0.1 < off.mean() < 0.6


@pytest.mark.parametrize("inner", [Softmax(), Laplace(0.1)], ids=["softmax", "laplace"])
def test_ties_go_to_the_lowest_index(inner: Gate) -> None:
    """With equal parameters every logit ties, and the first n_active experts stay on."""
    gate = TopK(inner, n_active=2)
    columns = gate.columns(gate.layout(Dims(4, 2)))
    block = next(build("softmax", "gaussian").source.blocks())
    H = np.empty((4, block.weight.size))
    gate.value(np.zeros(columns.shape), block, H)
    assert np.isfinite(H[:2]).all()
    assert np.isneginf(H[2:]).all()


def test_one_active_expert_has_no_smooth_gate_score() -> None:
    """With n_active = 1 the weight is 1 or 0: only the switching surface depends on the gate."""
    problem = build("topk(one)", "gaussian")
    score = problem.passes.score(problem.theta).score
    assert (score[: problem.terms.n_gate] == 0.0).all()
    assert np.abs(score[problem.terms.n_gate :]).min() > 0.0


# --------------------------------------------------------------------------------------- other software
def test_formulas_are_the_distributions_of_scipy() -> None:
    """The second writing of the models is itself checked, density by density."""
    rng = np.random.default_rng(9)
    X, y, offset = rng.standard_normal((7, 2)), rng.standard_normal(7), rng.standard_normal(7)
    slopes, b, v = rng.standard_normal((3, 2)), rng.standard_normal(3), rng.gamma(2.0, size=3)
    linear = X @ slopes.T + b + offset[:, None]
    p = {"slopes": slopes, "intercepts": b, "variances": v, "variance": v[0], "means": b}

    normal = stats.norm.logpdf(y[:, None], linear, np.sqrt(v))
    assert_close(formulas.log_density(Gaussian(), p, X, y, offset), normal, ROUNDING)
    common = stats.norm.logpdf(y[:, None], linear, np.sqrt(v[0]))
    assert_close(formulas.log_density(Gaussian(variance="common"), p, X, y, offset), common, ROUNDING)
    flat = stats.norm.logpdf(y[:, None], b, np.sqrt(v))
    assert_close(formulas.log_density(Background(), p, X, y, offset), flat, ROUNDING)
    counts = np.arange(7.0)
    poisson = stats.poisson.logpmf(counts[:, None], np.exp(linear))
    assert_close(formulas.log_density(Poisson(), p, X, counts, offset), poisson, ROUNDING)

    heads = counts % 2
    bernoulli = stats.bernoulli.logpmf(heads[:, None], special.expit(linear))
    assert_close(formulas.log_density(Binomial(), p, X, heads, offset), bernoulli, ROUNDING)
    positive, phi = np.exp(y), {"dispersions": v, "dispersion": v[0]}
    for expert, own in ((Gamma(), v), (Gamma(dispersion="common"), v[0])):
        gamma = stats.gamma.logpdf(positive[:, None], 1 / own, scale=own * np.exp(linear))
        assert_close(formulas.log_density(expert, p | phi, X, positive, offset), gamma, ROUNDING)
    about = stats.norm.logpdf(y[:, None], offset[:, None] - 0.5, np.sqrt(v))
    assert_close(formulas.log_density(Noise(-0.5), p, X, y, offset), about, ROUNDING)

    classes = {"slopes": rng.standard_normal((3, 2, 2)), "intercepts": rng.standard_normal((3, 2))}
    codes = rng.integers(3, size=7)
    odds = np.einsum("nd,kcd->nkc", X, classes["slopes"]) + classes["intercepts"]
    shares = special.log_softmax(np.pad(odds, ((0, 0), (0, 0), (1, 0))), axis=2)
    picked = shares[np.arange(7), :, codes]
    assert_close(formulas.log_density(Multinomial(), classes, X, codes.astype(float), offset), picked, ROUNDING)

    centres, log_weights = rng.standard_normal((3, 2)), rng.standard_normal(3)
    joint = [stats.multivariate_normal(c, s * np.eye(2)).logpdf(X) for c, s in zip(centres, v, strict=True)]
    expected = np.transpose(joint) + special.log_softmax(log_weights)
    p = {"log_weights": log_weights, "centres": centres, "covariances": v}
    gate = GaussianGate("spherical", likelihood="joint")
    assert_close(formulas.logits(gate, p, X), expected, ROUNDING)
    assert_close(formulas.log_sum_exp(expected), special.logsumexp(expected, axis=1), ROUNDING)


def _mp_linear(slopes: list[mpmath.mpf], intercept: mpmath.mpf, x: FloatArray) -> mpmath.mpf:
    return mpmath.fdot(slopes, [mpmath.mpf(float(v)) for v in x]) + intercept


def _mp_gaussian(p: list[mpmath.mpf], x: FloatArray, y: float) -> mpmath.mpf:
    """Density; p = (slope, intercept, log variance)."""
    gap = mpmath.mpf(y) - _mp_linear(p[:1], p[1], x)
    return mpmath.exp(-gap * gap / (2 * mpmath.exp(p[2]))) / mpmath.sqrt(2 * mpmath.pi * mpmath.exp(p[2]))


def _mp_poisson(p: list[mpmath.mpf], x: FloatArray, y: float) -> mpmath.mpf:
    """Probability of a count; p = (slope, intercept)."""
    mean = mpmath.exp(_mp_linear(p[:1], p[1], x))
    return mpmath.exp(-mean) * mean ** int(y) / mpmath.factorial(int(y))


def _mp_binomial(p: list[mpmath.mpf], x: FloatArray, y: float) -> mpmath.mpf:
    """Probability of a success (y = 1) or a failure; p = (slope, intercept)."""
    return 1 / (1 + mpmath.exp((1 - 2 * int(y)) * _mp_linear(p[:1], p[1], x)))


def _mp_gamma(p: list[mpmath.mpf], x: FloatArray, y: float) -> mpmath.mpf:
    """Density; p = (slope, intercept, log dispersion)."""
    shape, t = mpmath.exp(-p[2]), mpmath.mpf(y)
    scale = mpmath.exp(p[2] + _mp_linear(p[:1], p[1], x))
    return t ** (shape - 1) * mpmath.exp(-t / scale) / (mpmath.gamma(shape) * scale**shape)


def _mp_multinomial(p: list[mpmath.mpf], x: FloatArray, y: float) -> mpmath.mpf:
    """Probability of class y of three; p = (slope 1, slope 2, intercept 1, intercept 2)."""
    odds = [mpmath.mpf(1), *(mpmath.exp(_mp_linear([p[s]], p[2 + s], x)) for s in range(2))]
    return odds[int(y)] / mpmath.fsum(odds)


@pytest.mark.parametrize(
    ("expert", "density", "fields"),
    [
        (Gaussian(), _mp_gaussian, ("slopes", "intercepts", "variances")),
        (Multinomial(), _mp_multinomial, ("slopes", "intercepts")),
        (Poisson(), _mp_poisson, ("slopes", "intercepts")),
        (Binomial(), _mp_binomial, ("slopes", "intercepts")),
        (Gamma(), _mp_gamma, ("slopes", "intercepts", "dispersions")),
    ],
    ids=["gaussian", "multinomial", "poisson", "binomial", "gamma"],
)
def test_hessian_agrees_with_forty_digits(expert: Expert, density: Callable, fields: tuple[str, ...]) -> None:
    """Two softmax-weighted experts, six rows, written in mpmath and differentiated there."""
    rng = np.random.default_rng(10)
    X, weight = rng.standard_normal((6, 1)), rng.gamma(2.0, size=6)
    codes = np.array([0.0, 1.0, 2.0, 2.0, 1.0, 0.0])
    measured = np.exp(rng.standard_normal(6)) if expert.name == "gamma" else rng.standard_normal(6)
    y = np.minimum(codes, 1.0) if expert.name == "binomial" else codes
    y = y if expert.categorical or expert.discrete else measured
    layout = model_layout(Softmax(), expert, 2, 1, 1)
    theta = 0.5 * rng.standard_normal(layout.size)
    slopes, intercepts = layout.index("gate.slopes")[:, 0], layout.index("gate.intercepts")
    own = np.concatenate([layout.index(f"expert.{name}").reshape(2, -1) for name in fields], axis=1)

    def loglik(*p: mpmath.mpf) -> mpmath.mpf:
        total = mpmath.mpf(0)
        for x, response, w in zip(X, y, weight, strict=True):
            odds = [mpmath.exp(_mp_linear([p[slopes[k]]], p[intercepts[k]], x)) for k in range(2)]
            f = [density([p[i] for i in own[k]], x, float(response)) for k in range(2)]
            total += mpmath.mpf(float(w)) * mpmath.log(mpmath.fdot(odds, f) / mpmath.fsum(odds))
        return total

    expected = np.empty((layout.size, layout.size))
    with mpmath.workdps(40):
        at = tuple(mpmath.mpf(float(t)) for t in theta)
        for i, j in zip(*np.tril_indices(layout.size), strict=True):
            order = tuple(int(a == i) + int(a == j) for a in range(layout.size))
            expected[i, j] = expected[j, i] = float(mpmath.diff(loglik, at, order))

    source = raw(Data(X, y.astype(int) if expert.categorical else y, None, weight, categorical=expert.categorical))
    sums = Passes(Terms.of(Softmax(), expert, layout), source).hessian(theta)
    assert_close(sums.hessian, expected, ROUNDING)
