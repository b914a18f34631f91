"""The way to the maximum walked on a sample of the rows, and Hessians that are kept."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.passes import Passes
from moestat.solvers import EMThenNewton, SampleFirst, Stop, TrustRegionNewton, from_sample, sampled, solve, thinned
from moestat.solvers import newton as newton_module
from moestat.starts import StartLaw
from tests.unit.draws import normal
from tests.unit.samples import all_rows, problem_of, sample

N = 6000


@cache
def large(expert="gaussian"):
    return sample(3, n=N, d=2, seed=1, expert=expert).problem


def a_start(problem, number=0):
    starts = iter(StartLaw.of(problem, 0))
    return [next(starts).theta for _ in range(number + 1)][-1]


def passes_of(monkeypatch, run, kinds=("em", "score", "hessian")):
    """How many passes of each kind over sources of each size a run makes."""
    count = {}

    def counting(name, real):
        def counted(self, theta):
            key = name, self.source.n_rows
            count[key] = count.get(key, 0) + 1
            return real(self, theta)

        return counted

    with monkeypatch.context() as patch:
        for name in kinds:
            patch.setattr(Passes, name, counting(name, getattr(Passes, name)))
        return run(), count


# ------------------------------------------------------------------------------------ the sample
def with_everything(n=1000):
    x = normal(n, 2, seed=1)
    y = np.random.default_rng(2).poisson(2.0, n)
    weight = 1.0 + np.arange(n) % 3
    return ms.MixtureOfExperts(expert="poisson").data(x, y, sample_weight=weight, exposure=1.0 + np.arange(n) % 5)


@pytest.mark.parametrize("n_rows", [7, 100, 400])
def test_a_sample_has_rows_of_the_whole_each_once(n_rows):
    """With its weights and offsets, in the same coordinates."""
    data = with_everything()
    few = data.thinned(n_rows)
    whole, part = all_rows(data), all_rows(few)
    rows = np.vstack([whole.X, whole.Y, whole.offset, whole.weight]).T
    drawn = np.vstack([part.X, part.Y, part.offset, part.weight]).T
    assert len(drawn) == few.n_rows == n_rows == len(np.unique(drawn, axis=0))
    assert {row.tobytes() for row in drawn} <= {row.tobytes() for row in rows}
    assert few.total_weight == part.weight.sum()
    assert few.coordinates is data.coordinates
    exposures = np.concatenate([block.exposure for block in few.blocks()])[:n_rows]
    np.testing.assert_allclose(np.log(exposures), part.offset, rtol=1e-15)


@pytest.mark.parametrize("period", [2, 7, 64])
def test_a_sample_meets_no_period_and_no_stretch_more_often(period):
    """No part is off by more than one and a half standard errors of random draws, in all of 64 parts."""
    number = np.arange(20_000.0)
    data = ms.MixtureOfExperts(n_experts=1).data(number, np.sin(number))
    drawn = np.round(data.coordinates.X.restore(all_rows(data.thinned(2000)).X[1:].T)[:, 0]).astype(int)
    share = np.bincount(drawn % period, minlength=period) / 2000
    np.testing.assert_allclose(share, 1.0 / period, atol=1.5 / np.sqrt(period * 2000))
    stretch = np.bincount(drawn // 1000, minlength=20) / 2000
    np.testing.assert_allclose(stretch, 0.05, atol=0.001)


def test_only_rows_in_memory_and_weights_without_jumps_are_thinned():
    rows = sample(3, n=400)
    topk = ms.MixtureOfExperts(gate=ms.gates.TopK(n_active=2), n_experts=3)
    assert thinned(problem_of(topk, rows.X, rows.y), 50) is None
    few = thinned(rows.problem, 50)
    assert few.passes.source.n_rows == 50


# ------------------------------------------------------------------------------------ the way on it
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("expert", ["gaussian", "multinomial"])
def test_the_way_over_a_sample_ends_where_the_other_does(expert, number):
    problem = large(expert)
    theta = a_start(problem, number)
    over, direct = (solve(problem, solver, theta) for solver in (SampleFirst(), EMThenNewton()))
    assert over.stop is direct.stop is Stop.GRADIENT
    assert over.loglik == pytest.approx(direct.loglik, rel=1e-12)
    climbed = [row.loglik for row in over.trace]
    assert np.diff(climbed).min() > -1e-9 * abs(climbed[-1])


def test_most_of_the_way_asks_little_of_all_rows(monkeypatch):
    problem = large()
    theta = a_start(problem)
    over, count = passes_of(monkeypatch, lambda: solve(problem, SampleFirst(), theta))
    assert [row.method for row in over.trace[:3]] == ["em", "sample", "newton"]
    assert count["em", N] == 1
    assert count["hessian", N] <= 2
    assert count["em", N // 10] > 5


def test_a_long_way_is_not_followed():
    """Then every step is that on all rows, from the same start."""
    problem = large()
    theta = a_start(problem)
    wary = SampleFirst(on_few=EMThenNewton(newton=TrustRegionNewton(max_iter=0)))
    over, direct = solve(problem, wary, theta), solve(problem, EMThenNewton(), theta)
    np.testing.assert_array_equal(over.theta, direct.theta)
    assert over.trace == direct.trace


def test_a_start_above_the_sample_s_maximum_is_not_left():
    problem = large()
    top = solve(problem, EMThenNewton(), a_start(problem)).theta
    over = solve(problem, SampleFirst(), top)
    assert "sample" not in [row.method for row in over.trace]
    np.testing.assert_allclose(over.theta, top, atol=1e-9)


def test_an_expert_on_few_rows_of_the_sample_is_not_followed(monkeypatch):
    """A maximum of the sample that would do, but for the mass of one expert."""
    problem = large()
    few = thinned(problem, N // 10)
    end = solve(few, EMThenNewton(), a_start(problem))
    assert from_sample(problem, few, end) is not None
    monkeypatch.setattr(sampled, "FEW", few.passes.shares(end.theta).mass.min() / 4)  # parameters of an expert
    assert from_sample(problem, few, end) is None


def test_the_sample_s_hessian_stands_for_that_of_all_rows():
    """Within what a tenth of the rows tells of a curvature."""
    problem = large()
    few = thinned(problem, N // 10)
    state = from_sample(problem, few, solve(few, EMThenNewton(), a_start(problem)))
    exact = newton_module.QuadraticModel.at(problem, state)
    own = np.sqrt(-np.diag(exact.hessian))
    gap = (state.model.hessian - exact.hessian) / np.outer(own, own)
    assert np.abs(gap).max() < 0.3
    assert state.model.ahead == pytest.approx(exact.ahead, rel=0.3)


# ------------------------------------------------------------------------------------ kept Hessians
def test_the_last_hessian_is_exact_and_that_of_the_end():
    problem = large()
    end = solve(problem, EMThenNewton(), a_start(problem))
    np.testing.assert_array_equal(end.second_order.hessian, problem.passes.hessian(end.theta).hessian)


def test_hessians_are_kept_while_that_pays(monkeypatch):
    """Fewer of them than with one for every step, to the same maximum."""
    problem = large()
    theta = a_start(problem, 1)
    kept, few = passes_of(monkeypatch, lambda: solve(problem, EMThenNewton(), theta))
    exact = EMThenNewton(newton=TrustRegionNewton())
    fresh, many = passes_of(monkeypatch, lambda: solve(problem, exact, theta))
    assert few["hessian", N] < many["hessian", N]
    assert kept.loglik == pytest.approx(fresh.loglik, rel=1e-13)
    np.testing.assert_allclose(kept.theta, fresh.theta, atol=1e-8)


def test_a_kept_hessian_explains_the_change_of_the_score():
    problem = large()
    state = TrustRegionNewton().init(problem, solve(problem, EMThenNewton(), a_start(problem)).theta + 0.01)
    here = newton_module.QuadraticModel.at(problem, state)
    step = here.step(1.0)
    there = state.theta + step
    after = problem.passes.score(there).score
    moved = here.moved(step, there, after)
    np.testing.assert_allclose(moved.hessian @ step, (after - state.score) / problem.total_weight, atol=1e-12)
    np.testing.assert_allclose(moved.hessian, moved.hessian.T, atol=1e-12)


def test_a_step_that_was_cut_is_not_whole():
    problem = large()
    state = TrustRegionNewton().init(problem, solve(problem, EMThenNewton(), a_start(problem)).theta + 0.01)
    here = newton_module.QuadraticModel.at(problem, state)
    whole = here.step(1e4)
    assert here.reaches(whole)
    assert not here.reaches(here.step(0.5 * here.length(whole)))
    edge = state.theta + 0.5 * whole
    lower = np.where(whole < 0, np.maximum(edge, problem.lower), problem.lower)
    walled = replace(here, problem=replace(problem, lower=lower))
    assert not here.reaches(walled.step(1e4))
