"""The laws of least squares, over every gate whose weights are conditional and every expert with a numeric mean.

Problems are those of the likelihood, of which the gate and the means are kept. What is expected comes from finite
differences, and from sums over rows that are written out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from moestat.component import Dims
from moestat.data import BlockSource
from moestat.experts import Gaussian, Known, Mixed, Noise, Poisson
from moestat.experts.mean_map import MeanMap, mean_map
from moestat.expressions import write
from moestat.gates import UnnormalisedSigmoid
from moestat.inference.prediction import gate_weights_jacobian, mean_jacobian
from moestat.squares import MeanTerms, SquaresPasses
from moestat.terms import Terms
from moestat.typing import FloatArray
from tests.conformance.problems import ALL_EXPERTS, ALL_GATES, Rows, build, model_layout, raw
from tests.conformance.test_contract import DIFFERENCES, ROUNDING, assert_close, differences

UNNORMALISED = "unnormalised_sigmoid"


def has_a_mean(name: str) -> bool:
    expert = ALL_EXPERTS[name](3)
    return not expert.categorical and not expert.several_responses


EXPERTS = [name for name in ALL_EXPERTS if has_a_mean(name)]
GATES = [name for name, gate in ALL_GATES.items() if gate.normalised]
PAIRS = [
    *((gate, "gaussian") for gate in GATES),
    # noise about one level: under weights that sum to one, the mean is that level whatever the parameters
    *(("softmax", expert) for expert in EXPERTS if expert not in ("gaussian", "noise")),
    *((UNNORMALISED, expert) for expert in EXPERTS),
    *((gate, "gaussian(tanh)") for gate in ("laplace", "temperature", "norga")),
]


@dataclass(frozen=True)
class Squares:
    """Gate and means at some parameters, and rows."""

    passes: SquaresPasses
    theta: FloatArray
    rows: Rows

    @property
    def terms(self) -> Terms:
        return self.passes.terms

    @property
    def source(self) -> BlockSource:
        return self.passes.source

    def mean(self, theta: FloatArray) -> FloatArray:
        """m(x) of every row that counts (n,)."""
        columns, parts = self.terms.expert_columns, []
        for block in self.source.blocks():
            weights = self.terms.gate_weights(theta, block)
            parts.append((weights * self.terms.expert.mean(theta[columns], block)).sum(axis=0)[block.weight > 0])
        return np.concatenate(parts)

    def known(self) -> tuple[FloatArray, FloatArray]:
        """Responses and weights of these rows."""
        parts = [np.stack([b.Y[0], b.weight])[:, b.weight > 0] for b in self.source.blocks()]
        y, weight = np.hstack(parts)
        return y, weight


@cache
def squares(gate_name: str, expert_name: str) -> Squares:
    """The problem of the likelihood without what no mean depends on; the sigmoid's for the unnormalised gate."""
    likely = build("sigmoid" if gate_name == UNNORMALISED else gate_name, expert_name)
    gate = UnnormalisedSigmoid() if gate_name == UNNORMALISED else likely.gate
    expert = mean_map(likely.expert)
    schema = likely.source.schema
    K = likely.terms.n_experts
    layout = model_layout(gate, expert, K, len(schema.features), len(schema.gate_features))
    terms = MeanTerms.of(gate, expert, layout)
    places = [likely.layout.index(path).ravel() for path, _, _ in layout.leaves()]
    theta = likely.theta[np.concatenate(places)]
    return Squares(SquaresPasses(terms, likely.source), theta, likely.rows)


@pytest.fixture(params=PAIRS, ids="-".join)
def problem(request: pytest.FixtureRequest) -> Squares:
    return squares(*request.param)


# --------------------------------------------------------------------------------------- sums
def test_what_is_raised_is_the_logarithm_of_the_mean_square(problem: Squares) -> None:
    y, weight = problem.known()
    rss = weight @ (y - problem.mean(problem.theta)) ** 2
    n = weight.sum()
    assert_close(problem.passes.rss(problem.theta), rss, ROUNDING)
    assert_close(problem.passes.loglik(problem.theta), -n / 2 * np.log(rss / n), ROUNDING)


def test_score_is_the_derivative(problem: Squares) -> None:
    expected = differences(problem.passes.loglik, problem.theta)
    assert_close(problem.passes.score(problem.theta).score, expected, DIFFERENCES)


def test_hessian_is_the_derivative_of_the_score(problem: Squares) -> None:
    sums = problem.passes.hessian(problem.theta)
    assert_close(sums.score, problem.passes.score(problem.theta).score, ROUNDING)
    assert sums.loglik == problem.passes.loglik(problem.theta)
    expected = differences(lambda theta: problem.passes.score(theta).score, problem.theta)
    assert_close(sums.hessian, expected, DIFFERENCES)


def test_products_are_those_of_the_slopes_of_the_mean(problem: Squares) -> None:
    y, weight = problem.known()
    J = differences(problem.mean, problem.theta)
    gap = y - problem.mean(problem.theta)
    sums = problem.passes.products(problem.theta)
    assert_close(sums.plain, (J * weight) @ J.T, DIFFERENCES)
    assert_close(sums.weighted, (J * weight * gap**2) @ J.T, DIFFERENCES)
    square = weight @ gap**2 / weight.sum()
    assert_close(problem.passes.outer_products(problem.theta).matrix, sums.weighted / square**2, 10 * ROUNDING)


def test_the_size_of_blocks_does_not_matter(problem: Squares) -> None:
    """Nor do rows of weight zero, nor the padding of the last tile."""
    expected = problem.passes.hessian(problem.theta)
    for block_rows in (8, 1000):
        sums = SquaresPasses(problem.terms, raw(problem.rows.data(block_rows=block_rows))).hessian(problem.theta)
        assert_close(sums.loglik, expected.loglik, ROUNDING)
        assert_close(sums.score, expected.score, ROUNDING)
        assert_close(sums.hessian, expected.hessian, ROUNDING)


def test_a_pass_leaves_nothing_behind(problem: Squares) -> None:
    """Buffers are kept from pass to pass; what they hold must not matter, to the last bit."""
    fresh = problem.passes.hessian(problem.theta)
    for sums in (problem.passes.score, problem.passes.products, problem.passes.shares):
        sums(problem.theta + 0.3)
    again = problem.passes.hessian(problem.theta)
    assert np.array_equal(again.score, fresh.score)
    assert np.array_equal(again.hessian, fresh.hessian)


def test_masses_are_those_of_the_gate(problem: Squares) -> None:
    mass = sum(problem.terms.gate_weights(problem.theta, b) @ b.weight for b in problem.source.blocks())
    assert_close(problem.passes.shares(problem.theta).mass, mass, ROUNDING)


def test_score_is_orthogonal_to_the_invariances(problem: Squares) -> None:
    score = problem.passes.score(problem.theta).score
    for direction in problem.terms.invariances(problem.theta):
        assert abs(direction @ score) <= ROUNDING * np.linalg.norm(direction) * max(np.abs(score).max(), 1.0)


# --------------------------------------------------------------------------------------- predictions
def test_predictions_know_their_derivatives(problem: Squares) -> None:
    block = next(problem.source.blocks())
    columns = problem.terms.expert_columns

    def mean(theta: FloatArray) -> FloatArray:
        weights = problem.terms.gate_weights(theta, block)
        return np.asarray((weights * problem.terms.expert.mean(theta[columns], block)).sum(axis=0))

    assert_close(mean_jacobian(problem.terms, problem.theta, block), differences(mean, problem.theta), DIFFERENCES)
    weights = differences(lambda theta: problem.terms.gate_weights(theta, block), problem.theta)
    assert_close(gate_weights_jacobian(problem.terms, problem.theta, block), weights, DIFFERENCES)


# --------------------------------------------------------------------------------------- means alone
@pytest.fixture(params=EXPERTS)
def means(request: pytest.FixtureRequest) -> Squares:
    return squares("softmax", request.param)


def test_mean_curv_is_the_derivative_of_mean_jac(means: Squares) -> None:
    """d/d theta of sum_i c_ki dmu_ki, added to what is there."""
    expert, columns = means.terms.expert, means.terms.expert_columns
    block = next(means.source.blocks())
    c = np.random.default_rng(3).standard_normal((len(columns), block.weight.size))
    local = np.ones((*columns.shape, columns.shape[1]))
    expert.mean_curv(means.theta[columns], block, c, local)
    curv = np.zeros((means.theta.size,) * 2)
    np.add.at(curv, (columns[:, :, None], columns[:, None, :]), local - 1.0)

    def slope(theta: FloatArray) -> FloatArray:
        out = np.zeros(theta.size)
        np.add.at(out, columns, np.einsum("kb,kab->ka", c, expert.mean_jac(theta[columns], block)))
        return out

    assert_close(curv, differences(slope, means.theta), DIFFERENCES)


@pytest.mark.parametrize("name", EXPERTS)
def test_whole_experts_have_the_curvature_of_their_means(name: str) -> None:
    """What the contract asks of an expert itself, its variances included."""
    problem = build("softmax", name)
    expert, columns = problem.terms.expert, problem.terms.expert_columns
    block = next(problem.source.blocks())
    c = np.random.default_rng(3).standard_normal((len(columns), block.weight.size))
    local = np.zeros((*columns.shape, columns.shape[1]))
    expert.mean_curv(problem.theta[columns], block, c, local)
    curv = np.zeros((problem.theta.size,) * 2)
    np.add.at(curv, (columns[:, :, None], columns[:, None, :]), local)

    def slope(theta: FloatArray) -> FloatArray:
        out = np.zeros(theta.size)
        np.add.at(out, columns, np.einsum("kb,kab->ka", c, expert.mean_jac(theta[columns], block)))
        return out

    assert_close(curv, differences(slope, problem.theta), DIFFERENCES)


def test_means_have_columns_for_every_parameter(means: Squares) -> None:
    n = means.terms.n_gate
    assert set((means.terms.expert_columns - n).ravel()) == set(range(means.theta.size - n))


@pytest.mark.parametrize("name", EXPERTS)
def test_what_is_left_out_moves_no_mean(name: str) -> None:
    problem, kept = build("softmax", name), squares("softmax", name)
    block = next(problem.source.blocks())
    moved = problem.theta.copy()
    leaves = {path for path, _, _ in kept.terms.layout.leaves()}
    for path, slot, start in problem.layout.leaves():
        if path not in leaves:
            moved[start : start + slot.size] += 0.3
    columns = problem.terms.expert_columns
    same = (problem.terms.expert.mean(theta[columns], block) for theta in (problem.theta, moved))
    np.testing.assert_array_equal(*same)
    means = kept.terms.expert.mean(kept.theta[kept.terms.expert_columns], block)
    np.testing.assert_array_equal(means, problem.terms.expert.mean(problem.theta[columns], block))


def test_experts_side_by_side_give_up_their_variances_one_by_one() -> None:
    families = mean_map(Mixed((Gaussian(), Known("laplace"), Noise(), Gaussian(form="tanh"))))
    layout = families.layout(Dims(4, 2))
    names = [path for path, _, _ in layout.leaves()]
    assert names == ["0.intercepts", "0.slopes", "3.intercepts", "3.slopes", "3.scales"]
    record = layout.unpack(np.arange(layout.size, dtype=float))
    assert np.isnan(record.members[0].variances).all()
    np.testing.assert_array_equal(layout.pack(record), np.arange(layout.size))


def test_a_mean_map_is_its_familys_mean() -> None:
    assert MeanMap(Poisson()).name == "poisson"
    assert write(MeanMap(Gaussian(form="tanh"))) == "gaussian(form='tanh')"
    assert MeanMap(Gaussian(variance="common")).layout(Dims(2, 1)).size == 4
