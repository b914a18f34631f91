"""Ties of gates whose weights jump, alone and inside others: margins, their derivatives, and what happens behind."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import moestat as ms
from moestat.certificate import Status
from moestat.component import Dims, Gate
from moestat.data import Block
from moestat.gates import AdaptiveTemperature, Entmax, Hierarchical, Laplace, Softmax, Temperature, Threshold, TopK

K = 4
GATES = {
    "topk": TopK(n_active=2),
    "topk(score)": TopK(rank_on="score"),
    "topk(laplace)": TopK(Laplace(0.1)),
    "topk(temperature)": TopK(Temperature(depends_on="covariates")),
    "temperature(topk)": Temperature(TopK()),
    "temperature(covariates, topk)": Temperature(TopK(), depends_on="covariates"),
    "adaptive_temperature(topk)": AdaptiveTemperature(TopK()),
    "hierarchical(softmax, topk)": Hierarchical(inner=TopK(n_active=1), groups=(2, 2)),
    "hierarchical(topk, softmax)": Hierarchical(outer=TopK(n_active=1), groups=(2, 2)),
    "hierarchical(topk, topk)": Hierarchical(outer=TopK(n_active=2), inner=TopK(n_active=1), groups=(2, 1, 1)),
    "hierarchical(threshold)": Hierarchical(inner=Threshold(margin=0.5), groups=(2, 2)),
    "threshold(mass)": Threshold(mass=0.8),
    "threshold(margin)": Threshold(margin=1.0),
    "threshold(margin, laplace)": Threshold(Laplace(0.1), margin=1.0),
}
each = pytest.mark.parametrize("gate", GATES.values(), ids=GATES)


class At:
    """A bound gate at parameters drawn at random, and rows."""

    def __init__(self, gate: Gate) -> None:
        rng = np.random.default_rng(4)
        layout = gate.layout(Dims(K, 2))
        self.gate, self.columns = gate.bind(layout), gate.columns(layout)
        self.theta = 0.7 * rng.standard_normal(layout.size)
        self.Z = np.vstack([np.ones(60), rng.standard_normal((2, 60))])

    def block(self, rows: slice) -> Block:
        Z = np.ascontiguousarray(self.Z[:, rows])
        n = Z.shape[1]
        return Block(Z, Z, np.zeros((1, n)), np.zeros(n), np.ones(n))

    def on(self, theta, row: int):
        H = np.empty((K, 1))
        self.gate.value(theta[self.columns], self.block(slice(row, row + 1)), H)
        return np.isfinite(H[:, 0])

    def closest(self, theta):
        return self.gate.closest(theta[self.columns], self.block(slice(None)))

    def tie(self, theta, row: int, on: int, off: int):
        """Margin and its derivative (P,)."""
        margin, local = self.gate.tie(theta[self.columns], self.block(slice(row, row + 1)), on, off)
        slope = np.zeros(theta.size)
        np.add.at(slope, self.columns, local)
        return margin, slope


@each
def test_the_closest_tie_has_the_margin_that_is_told(gate: Gate) -> None:
    at = At(gate)
    assert at.gate.tells_ties
    margins, on, off = at.closest(at.theta)
    assert (margins >= 0).all()
    assert np.isfinite(margins).mean() > 0.5
    for row in np.flatnonzero(np.isfinite(margins)):
        active = at.on(at.theta, row)
        assert on[row] < 0 or active[on[row]]
        assert off[row] < 0 or not active[off[row]]
        np.testing.assert_allclose(at.tie(at.theta, row, on[row], off[row])[0], margins[row], atol=1e-12)


@each
def test_the_closest_tie_is_among_all(gate: Gate) -> None:
    at = At(gate)
    margins, on, off = at.closest(at.theta)
    for row in np.flatnonzero(np.isfinite(margins)):
        within = margins[row] + 1e-9
        pairs = at.gate.ties(at.theta[at.columns], at.block(slice(row, row + 1)), within)
        assert (on[row], off[row]) in pairs
        assert all(at.tie(at.theta, row, *pair)[0] <= within for pair in pairs)
        assert at.gate.ties(at.theta[at.columns], at.block(slice(row, row + 1)), margins[row] - 1e-9) == []


@pytest.mark.parametrize("name", ["topk", "topk(score)", "temperature(topk)", "adaptive_temperature(topk)"])
def test_a_row_may_be_tied_by_several_pairs(name: str) -> None:
    """Every active expert with every other: where three are equal, a row is held back in two directions."""
    at = At(GATES[name])
    for row in range(10):
        active = at.on(at.theta, row)
        pairs = at.gate.ties(at.theta[at.columns], at.block(slice(row, row + 1)), np.inf)
        assert set(pairs) == set(itertools.product(np.flatnonzero(active), np.flatnonzero(~active)))


@each
def test_the_slope_is_the_derivative_of_the_margin(gate: Gate) -> None:
    at = At(gate)
    margins, on, off = at.closest(at.theta)
    for row in np.flatnonzero(np.isfinite(margins))[:8]:
        pair = on[row], off[row]
        steps = 1e-6 * np.eye(at.theta.size)
        expected = [(at.tie(at.theta + s, row, *pair)[0] - at.tie(at.theta - s, row, *pair)[0]) / 2e-6 for s in steps]
        np.testing.assert_allclose(at.tie(at.theta, row, *pair)[1], expected, atol=1e-8)


@each
def test_behind_its_tie_a_row_has_changed_its_experts(gate: Gate) -> None:
    """Newton's steps on the margin lead to the tie; up to it nothing switches, behind it what was said does."""
    at = At(gate)
    margins, on, off = at.closest(at.theta)
    near = np.argsort(margins)[:6]
    for row in near:
        pair, theta = (on[row], off[row]), at.theta
        for _ in range(20):
            margin, slope = at.tie(theta, row, *pair)
            theta = theta - (margin - 1e-7) * slope / (slope @ slope)
        before, after = at.on(theta, row), at.on(theta - 2e-7 * slope / (slope @ slope), row)
        assert (before == at.on(at.theta, row)).all()
        assert pair[0] < 0 or (before[pair[0]] and not after[pair[0]])
        assert pair[1] < 0 or (not before[pair[1]] and after[pair[1]])


@each
def test_relaxations_have_the_same_parameters_and_come_from_dense(gate: Gate) -> None:
    at, layout = At(gate), gate.layout(Dims(K, 2))
    stages = gate.relaxations(K)
    assert stages[0].continuous
    for stage in stages:
        assert [leaf[0] for leaf in stage.layout(Dims(K, 2)).leaves()] == [leaf[0] for leaf in layout.leaves()]
        H = np.empty((K, 60))
        stage.bind(layout).value(at.theta[at.columns], at.block(slice(None)), H)
        assert np.isfinite(H).all() or stage is not stages[0]


def test_gates_that_also_switch_continuously_tell_no_ties() -> None:
    for gate in (Entmax(TopK()), TopK(Entmax()), Hierarchical(outer=TopK(n_active=1), inner=Entmax(), groups=(2, 2))):
        assert not gate.continuous
        assert not gate.tells_ties
    assert Softmax().tells_ties  # there is nothing to tell


# --------------------------------------------------------------------------------------- fits
def rows_of_two_groups():
    rng = np.random.default_rng(8)
    X = rng.standard_normal((300, 2))
    group = X[:, 0] + 0.5 * rng.standard_normal(300) > 0
    upper = X[:, 1] > 0.3
    mean = np.where(group, np.where(upper, 3.0 + X[:, 0], -1.0), np.where(upper, 1.0, -4.0 - X[:, 1]))
    return X, mean + 0.4 * rng.standard_normal(300)


@pytest.mark.parametrize(
    ("gate", "n_experts"),
    [
        (Temperature(TopK()), 3),
        (Hierarchical(inner=TopK(n_active=1), groups=(2, 2)), 4),
        (Hierarchical(outer=TopK(n_active=1), groups=(2, 2)), 4),
        (Entmax(TopK(), alpha=1.5), 3),
        (Threshold(margin=1.0), 3),
    ],
    ids=lambda value: value.name if isinstance(value, Gate) else str(value),
)
def test_fits_end_where_nothing_smooth_is_left_to_gain(gate: Gate, n_experts: int) -> None:
    """At a maximum inside its region or under its ties; without ties to tell, as high as trying goes."""
    X, y = rows_of_two_groups()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.errors.MoestatWarning)
        results = ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=n_experts), X, y, n_starts=6)
    optimum = results.certificate.optimum
    assert np.isfinite(results.llf)
    assert optimum.jumps
    assert len(optimum.held) == len(optimum.ties)
    if gate.tells_ties:
        assert optimum.status in (Status.AT_TIES, Status.STRICT_MAXIMUM, Status.FLAT_MAXIMUM, Status.RUNAWAY)
        gains = [float(words.split(": ")[1].split()[0]) for words in optimum.ties]
        assert max(gains, default=0.0) <= 1e-6


@pytest.mark.parametrize(
    "gate",
    ["gumbel(threshold)", "noisy_topk(threshold, n_active=1, scale=1.0)", "hierarchical(gumbel(topk(n_active=1)))"],
)
def test_random_gates_round_gates_that_jump_make_do_with_tries(gate: str) -> None:
    """The average over draws jumps where the inner gate does, at ties that it does not tell."""
    X, y = rows_of_two_groups()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.errors.MoestatWarning)
        results = ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=4), X[:60], y[:60], n_starts=1)
    optimum = results.certificate.optimum
    assert optimum.jumps
    assert not optimum.ties
    climbed = results.trace["loglik"]
    assert np.isfinite(results.llf)
    assert climbed.iloc[-1] > climbed.iloc[0]


def test_a_trust_region_that_shrinks_to_nothing_ends_the_ascent() -> None:
    """Averages of noisy logits under a mask: steps of length zero were divided by."""
    X, y = rows_of_two_groups()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.errors.MoestatWarning)
        model = ms.MixtureOfExperts(gate="topk(noisy_topk(scale=1.0))", n_experts=3)
        results = ms.fit(model, X[:60], y[:60], n_starts=1)
    assert np.isfinite(results.llf)
