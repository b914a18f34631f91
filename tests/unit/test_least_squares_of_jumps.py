"""Least squares where the regression function jumps with the gate's parameters."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import moestat as ms
from moestat.solvers import AcrossTies, Problem, solve
from moestat.solvers.held_experts import HeldExperts
from tests.unit.draws import normal

SQUARES = {"objective": "least_squares"}


def split(gate="topk(n_active=1)", n=80):
    """Two lines, each of one side."""
    model = ms.MixtureOfExperts(gate=gate, n_experts=2)
    x = np.linspace(-2.0, 2.0, n)[:, None]
    y = np.where(x[:, 0] > 0.3, 3.0 - 2.0 * x[:, 0], 1.0 + x[:, 0]) + 0.1 * normal(n, seed=3)
    return model, x, y


def noisy_three(n=120):
    X = normal(n, 2, seed=5)
    return X, np.abs(X[:, 0]) + np.maximum(X[:, 1], 0.0) + 0.2 * normal(n, seed=6)


@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
def test_one_active_expert_finds_the_best_split_of_two_lines():
    model, x, y = split()

    def about_lines(cut):
        parts = (x[:, 0] < cut, x[:, 0] >= cut)
        return sum(np.polyfit(x[p, 0], y[p], 1, full=True)[1][0] for p in parts)

    results = ms.fit(model, x, y, n_starts=5, **SQUARES)
    cuts = 0.5 * (x[2:-3, 0] + x[3:-2, 0])
    assert results.rss <= min(map(about_lines, cuts)) * (1 + 1e-9)


@pytest.mark.parametrize("gate", ["topk", "threshold(mass=0.8)"])
def test_ends_are_minima_inside_a_region_or_at_its_ties(gate):
    X, y = noisy_three()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)
        results = ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=3), X, y, n_starts=3, **SQUARES)
    assert results.certificate.trusted
    assert results.trace["rss"].iloc[-1] == results.trace["rss"].min()
    words = str(results.certificate)
    assert "the sum of squares jumps beyond" in words
    assert "maximum" not in words


def test_held_experts_give_the_level_of_a_full_pass():
    X, y = noisy_three()
    model = ms.regression.RegressionFunction(ms.MixtureOfExperts(gate="topk", n_experts=3))
    problem = Problem.of(model, model.prepare(ms.Data(X, y)))
    theta = normal(problem.free.size, seed=7)
    moved = theta + np.where(np.arange(theta.size) < problem.passes.terms.n_gate, 0.3, 0.0)
    held = HeldExperts(problem, theta)
    assert held.loglik(moved) == pytest.approx(problem.passes.loglik(moved), rel=1e-14)


def test_the_solver_by_itself_never_raises_the_sum_of_squares():
    X, y = noisy_three()
    model = ms.regression.RegressionFunction(ms.MixtureOfExperts(gate="topk", n_experts=3))
    problem = Problem.of(model, model.prepare(ms.Data(X, y)))
    run = solve(problem, AcrossTies(walks=1), 0.5 * normal(problem.free.size, seed=8))
    levels = [row.loglik for row in run.trace]
    assert levels == sorted(levels)
    assert levels[-1] > levels[0]


def test_starts_that_went_lower_are_not_kept_quiet():
    """Tone data under the gate whose weights need not sum to one: most starts drift, below the reported minimum."""
    tone = ms.datasets.load("tone")
    model = ms.moe("tuned ~ stretchratio", tone.frame, gate="unnormalised_sigmoid", n_experts=2)
    with pytest.warns(ms.ConvergenceWarning, match="strict interior minimum, but .* lower .* short of convergence"):
        results = model.fit(n_starts=6, **SQUARES)
    certificate = results.certificate
    assert not certificate.trusted
    printed = [line for line in str(certificate).splitlines() if " ended at " in line]
    assert len(printed) == len(set(line.split("ended at")[1] for line in printed))
