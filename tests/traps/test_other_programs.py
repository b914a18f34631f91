"""Traps that other programs for mixtures of regressions fell into, each with a test of its own."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import special

import moestat as ms
from moestat.errors import ConvergenceWarning, InputError, SeparationWarning
from moestat.solvers import EM, EMThenNewton, Problem, solve
from tests.traps.fits import assert_honest, from_labels, numbers, quiet, relabelled, told, two_lines

STRICT, RUNAWAY = ms.Status.STRICT_MAXIMUM, ms.Status.RUNAWAY


# ------------------------------------------------------------------------------------ the gate
#: experts so far apart that every row tells its own
FAR = np.array([100.0, -100.0, 0.0])


def one_hot(n_experts, n=1000, seed=0):
    """A problem whose responsibilities are labels, with a gate at zero; covariates (n,) and labels (n,)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n)
    logits = np.column_stack([np.zeros(n), 8 * x - 4, 3 - 5 * x])[:, :n_experts]
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    fixed = {"expert.slopes": 0.0, "expert.intercepts": FAR[:n_experts], "expert.variances": 1.0}
    model = ms.MixtureOfExperts(n_experts=n_experts, fixed=fixed)
    source = model.data(x, FAR[labels])
    return Problem.of(model, source), model, x, labels


def gate_of(problem, model, theta):
    """Intercept and slope of every expert but the first, relative to the first's, in the user's units."""
    source = problem.passes.source
    gate = model.from_theta(theta, source.schema, source.coordinates).gate
    return np.column_stack([gate.intercepts, gate.slopes])[1:] - np.r_[gate.intercepts[0], gate.slopes[0]]


def logit_of(x, labels):
    """The maximum-likelihood logistic regression of the labels, by statsmodels."""
    return sm.MNLogit(labels, sm.add_constant(x)).fit(method="newton", tol=1e-14, maxiter=100, disp=False)


@pytest.mark.parametrize("n_experts", [2, 3])
def test_the_exact_m_step_of_the_gate_is_a_logistic_regression(n_experts):
    """cgmm 0.5.1 never fits its gate: it steps down the likelihood and refuses every step, so the gate stays at 0."""
    problem, model, x, labels = one_hot(n_experts)
    start = problem.admit(np.zeros(problem.layout.size))
    solution = solve(problem, EM(max_iter=1, m_step="exact"), start)
    np.testing.assert_allclose(gate_of(problem, model, solution.theta), logit_of(x, labels).params.T, rtol=1e-7)


@pytest.mark.parametrize("n_experts", [2, 3])
def test_newton_steps_of_the_gate_end_at_the_logistic_regression(n_experts):
    """cgmm 0.5.1 reports -1373.45 where the maximum is -1327.59: one damped step at a time gets there as well."""
    problem, model, x, labels = one_hot(n_experts)
    start = problem.admit(np.zeros(problem.layout.size))
    solution = solve(problem, EM(rtol=None, gtol=1e-12), start)
    np.testing.assert_allclose(gate_of(problem, model, solution.theta), logit_of(x, labels).params.T, rtol=1e-8)
    assert solution.loglik - solve(problem, EM(max_iter=0), start).loglik > 100


def test_the_curvature_of_the_gate_is_a_sum_of_p_times_q():
    """mixtools' hmeEM sums 1 / (p q) instead: its steps are sixteen times too short at least."""
    problem, *_ = one_hot(2)
    terms, (block,) = problem.passes.terms, problem.passes.source.blocks()
    theta = problem.admit(np.random.default_rng(1).standard_normal(problem.layout.size))
    slopes = theta[terms.gate_columns]
    p = special.expit((slopes[0] - slopes[1]) @ block.Z)
    own = (block.Z * (block.weight * p * (1 - p))) @ block.Z.T
    information = problem.passes.em(theta).gate_information
    first = terms.gate_columns[0]
    np.testing.assert_allclose(information[np.ix_(first, first)], own, rtol=1e-11)


def test_few_steps_fit_a_gate():
    """mixtools' hmeEM needs 259 iterations where ten are enough."""
    problem, *_ = one_hot(2)
    solution = solve(problem, EM(rtol=None, gtol=1e-9), problem.admit(np.zeros(problem.layout.size)))
    assert solution.converged
    assert solution.n_iter <= 10


def test_one_gate_step_per_iteration_costs_no_more_iterations_than_the_exact_m_step():
    """mixtools' hmeEM needs 259 iterations on a mixture where EM with an exact gate needs ten."""
    x, y = two_lines(1000)
    model = ms.MixtureOfExperts()
    problem = Problem.of(model, model.data(x, y))
    start = problem.admit(0.5 * np.random.default_rng(2).standard_normal(problem.layout.size))
    steps = [solve(problem, EM(rtol=1e-8, m_step=m_step), start).n_iter for m_step in ("newton", "exact")]
    assert steps[0] <= steps[1] + 5


@pytest.mark.parametrize("name", ["faithful", "tone", "co2"])
def test_mean_weights_of_the_gate_are_mean_responsibilities(name):
    """A gate that never moves (cgmm 0.5.1, and a release of nlmixr2) breaks this identity of every stationary point."""
    data = ms.datasets.load(name)
    results = quiet(ms.MixtureOfExperts(), data.X, data.y, data.Z, n_starts=4)
    Z = np.column_stack([np.ones(len(data.y)), data.Z])
    difference = results.responsibilities() - results.gate_weights()
    np.testing.assert_allclose(Z.T @ difference, 0.0, atol=1e-6)


# ------------------------------------------------------------------------------------ covariates far from zero
@cache
def years():
    """Annual temperature anomalies on the calendar year, and on the same years standardised."""
    data = ms.datasets.load("tempanomalies")
    raw = data.X.to_numpy(dtype=float)
    return raw, (raw - raw.mean()) / raw.std(ddof=1), data.y.to_numpy()


@pytest.mark.parametrize("standardised", [False, True], ids=["calendar", "standardised"])
@pytest.mark.parametrize(("n_experts", "least"), [(2, 102.9430), (3, 109.6774)])
def test_calendar_years_reach_the_maximum_of_standardised_years(n_experts, least, standardised):
    """meteorits stops at 102.8526 and 109.5901 on the calendar years, short of what it finds on standardised ones."""
    raw, standard, y = years()
    fit = told(ms.MixtureOfExperts(n_experts=n_experts), standard if standardised else raw, y, n_starts=10)
    assert_honest(fit)
    assert fit.results.llf >= least
    if n_experts == 2:
        assert fit.results.llf == pytest.approx(102.94304729, abs=1e-6)
    if fit.results.certificate.status is RUNAWAY:
        assert fit.warned(SeparationWarning)
        assert all("gate" in words for words in fit.results.certificate.optimum.runaway)


@pytest.mark.parametrize("n_experts", [2, 3])
def test_from_one_start_calendar_years_end_where_standardised_years_do(n_experts):
    """meteorits loses 0.09 of the log-likelihood to the units of the year, with the same code and the same start."""
    raw, standard, y = years()
    model = ms.MixtureOfExperts(n_experts=n_experts)
    resp = np.where(np.arange(len(y)) * n_experts // len(y) == np.arange(n_experts)[:, None], 0.9, 0.1)
    fits = [quiet(model, x, y, start=from_labels(model, x, y, None, resp)) for x in (raw, standard)]
    assert fits[0].llf == pytest.approx(fits[1].llf, abs=1e-5)
    assert fits[0].certificate.status is fits[1].certificate.status


# ------------------------------------------------------------------------------------ conventions
@pytest.mark.parametrize("name", ["faithful", "tone", "ethanol"])
def test_variances_are_those_of_maximum_likelihood(name):
    """flexmix divides by n - p and scales by n: its log-likelihood is below the maximum it reports."""
    data = ms.datasets.load(name)
    results = quiet(ms.MixtureOfExperts(), data.X, data.y, data.Z, n_starts=4)
    resp = results.responsibilities()
    square = (data.y.to_numpy()[:, None] - results.expert_means(data.X)) ** 2
    np.testing.assert_allclose(results.params.expert.variances, (resp * square).sum(0) / resp.sum(0), rtol=1e-7)


def test_information_criteria_are_smaller_for_better_models():
    """meteorits' AIC and BIC have the opposite sign."""
    x, y = two_lines()
    one, two = (ms.fit(ms.MixtureOfExperts(n_experts=k), x, y, n_starts=6) for k in (1, 2))
    assert two.llf > one.llf + 30
    assert two.aic < one.aic
    assert two.bic < one.bic


def test_the_same_seed_gives_the_same_draws():
    """cgmm 0.5.1 takes a random state for drawing rows and ignores it."""
    x, y = two_lines()
    results = ms.fit(ms.MixtureOfExperts(), x, y, n_starts=4)
    draws = [results.model.sample(results.params, x, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()


# ------------------------------------------------------------------------------------ local optima
LOCAL, BEST = -70.1729329365, -66.9397677928


@cache
def emissions():
    data = ms.datasets.load("co2")
    return data.X.to_numpy(), data.y.to_numpy(), np.empty((28, 0))


@cache
def random_labels():
    """The carbon dioxide data with a constant gate, from random soft labels alone."""
    return ms.fit(ms.MixtureOfExperts(), *emissions(), families=["soft_labels"], n_starts=40)


def test_random_labels_lead_to_several_solutions_and_all_are_listed():
    """flexmix's random labels end at -70.17 in forty of forty runs: all that one sees is a local maximum."""
    results = random_labels()
    strict = results.starts[results.starts.status == STRICT.value]
    assert np.isclose(strict.loglik, LOCAL, atol=1e-8).any()
    assert results.certificate.n_reached + sum(r.n_starts for r in results.certificate.rivals) == 40
    assert any(abs(rival.loglik - LOCAL) < 1e-8 for rival in results.certificate.rivals)
    assert results.llf == pytest.approx(BEST, abs=1e-8)


def test_the_default_starts_reach_the_best_solution():
    """flexmix stays at -70.17 on the carbon dioxide data with a constant gate."""
    results = ms.fit(ms.MixtureOfExperts(), *emissions())
    assert results.llf == pytest.approx(BEST, abs=6e-11)
    assert results.certificate.trusted


def test_the_default_starts_reach_the_best_solution_with_a_gate():
    """flexmix's labels lead to -73.2636578648 on the carbon dioxide data, seven below."""
    results = ms.fit(ms.MixtureOfExperts(), *emissions()[:2])
    assert results.llf == pytest.approx(-66.2965550159, abs=6e-11)
    assert results.certificate.trusted


def test_one_start_cannot_tell_a_local_maximum_and_claims_no_confidence():
    """flexmix's result from labels is a strict maximum all the same: only other starts show that it is not the best."""
    solution = random_labels().starts
    unlucky = int(np.flatnonzero(np.isclose(solution.loglik, LOCAL, atol=1e-8))[0])
    X, y, Z = emissions()
    model = ms.MixtureOfExperts()
    law = ms.starts.StartLaw.of(Problem.of(model, model.data(X, y, Z)), 0, ["soft_labels"])
    theta = [start.theta for start, _ in zip(law, range(unlucky + 1), strict=False)][-1]
    source = model.data(X, y, Z)
    start = model.from_theta(theta, source.schema, source.coordinates)
    results = ms.fit(model, X, y, Z, start=start)
    assert results.llf == pytest.approx(LOCAL, abs=6e-11)
    assert results.certificate.status is STRICT
    assert results.certificate.n_starts == 1
    assert "95 % sure" not in str(results.certificate)
    assert ms.fit(model, X, y, Z).llf > results.llf + 3


# ------------------------------------------------------------------------------------ separation
#: what meteorits' unfinished gate steps reach on the motorcycle data; an exact gate M-step stays at -594.71
ESCAPED, STUCK = -540.35967, -594.71


@cache
def motorcycle():
    """Quadratic experts in standardised time, a linear gate, and the quarter of each row in order of time."""
    frame = ms.datasets.load("mcycle").frame
    time = frame.times.to_numpy()
    t = (time - time.mean()) / time.std(ddof=1)
    return np.column_stack([t, t**2]), frame.accel.to_numpy(), t[:, None], np.arange(t.size) * 4 // t.size


QUADRATIC = ms.MixtureOfExperts(n_experts=4)


@pytest.mark.parametrize("m_step", [None, "newton", "exact"])
@pytest.mark.parametrize("own", [0.9, 1.0])
def test_from_segments_of_time_the_gate_does_not_freeze(own, m_step):
    """EM with an exact gate M-step separates the quarters at once and never leaves -594.71."""
    X, y, Z, quarter = motorcycle()
    resp = np.where(quarter == np.arange(4)[:, None], own, (1.0 - own) / 3)
    start = from_labels(QUADRATIC, X, y, Z, resp)
    solver = None if m_step is None else EM(max_iter=5000, rtol=1e-12, m_step=m_step)
    fit = told(QUADRATIC, X, y, Z, start=start, solver=solver)
    assert_honest(fit)
    assert fit.results.llf > STUCK + 30
    assert fit.results.llf >= -540.36
    if m_step is None:
        assert fit.results.certificate.status is STRICT or fit.warned(SeparationWarning)


def test_the_default_fit_of_the_motorcycle_data_names_every_higher_supremum():
    """The supremum of about -540.36 that meteorits escapes to is not the best solution."""
    X, y, Z, _ = motorcycle()
    fit = told(QUADRATIC, X, y, Z)
    assert_honest(fit)
    results = fit.results
    assert results.llf >= ESCAPED
    suprema = [r for r in results.certificate.rivals if r.status is RUNAWAY and r.loglik > results.llf + 1e-6]
    assert tuple(suprema) == results.certificate.higher
    if suprema or results.certificate.status is RUNAWAY:
        assert fit.warned(SeparationWarning)
    assert np.abs(results.theta).max() < 1e5


def test_a_gate_that_is_a_step_already_is_called_separated():
    """No solver leaves a gate with coefficients in the ten thousands: the end point must not pass for a maximum."""
    X, y, Z, quarter = motorcycle()
    t = Z[:, 0]
    lines = [sm.OLS(y[quarter == k], sm.add_constant(X[quarter == k])).fit() for k in range(4)]
    cuts = [(t[quarter == k].max() + t[quarter == k + 1].min()) / 2 for k in range(3)]
    expert = {
        "slopes": [line.params[1:] for line in lines],
        "intercepts": [line.params[0] for line in lines],
        "variances": [line.ssr / line.nobs for line in lines],
    }
    gate = {"slopes": 1e4 * np.arange(4.0)[:, None], "intercepts": np.r_[0.0, -1e4 * np.cumsum(cuts)]}
    fit = told(QUADRATIC, X, y, Z, start=QUADRATIC.params(gate=gate, expert=expert))
    assert_honest(fit)
    optimum = fit.results.certificate.optimum
    assert fit.warned(SeparationWarning)
    assert optimum.status is RUNAWAY
    assert sorted(optimum.partition) == [0, 33, 33, 33, 34]
    assert optimum.limit == pytest.approx(sum(line.llf for line in lines), abs=1e-6)


# ------------------------------------------------------------------------------------ what counts as converged
@pytest.mark.parametrize("solver", [EM(max_iter=3), EM(max_iter=3, m_step="exact"), ms.solvers.SQUAREM(max_iter=1)])
def test_converged_is_found_out(solver):
    """cgmm 0.5.1 sets converged to True whatever has happened."""
    x, y = two_lines()
    fit = told(ms.MixtureOfExperts(), x, y, n_starts=2, solver=solver)
    assert fit.results.converged is False
    assert fit.warned(ConvergenceWarning, "not converged")
    assert ms.fit(ms.MixtureOfExperts(), x, y, n_starts=2).converged is True


def three_experts_for_two_lines():
    x, y = two_lines(400, seed=3)
    model = ms.MixtureOfExperts(n_experts=3)
    resp = np.random.default_rng(5).dirichlet(np.ones(3), 400).T
    return model, x, y, from_labels(model, x, y, None, resp)


def test_a_small_gain_is_not_convergence():
    """EM stops at a relative gain of 1e-6 on a ridge, which is no maximum, whatever the program then calls it."""
    model, x, y, start = three_experts_for_two_lines()
    stopped = told(model, x, y, start=start, solver=EM(rtol=1e-6))
    assert_honest(stopped)
    assert stopped.results.certificate.stop == "the log-likelihood changed by less than its tolerance"
    assert stopped.results.certificate.status is ms.Status.NOT_CONVERGED
    assert not stopped.results.converged
    finished = told(model, x, y, start=start)
    assert_honest(finished)
    assert finished.results.converged
    assert finished.results.certificate.optimum.fine_gradient <= 1e-8
    assert finished.results.llf > stopped.results.llf


# ------------------------------------------------------------------------------------ experts that vanish
def test_a_small_expert_is_not_dropped():
    """flexmix drops components below five per cent of the rows in silence, and returns fewer than were asked for."""
    x, y = two_lines(300, seed=4)
    x, y = np.r_[x, np.linspace(-2, 2, 9)], np.r_[y, 30 + np.linspace(-1, 3, 9) + 0.5 * np.cos(np.arange(9.0))]
    model = ms.MixtureOfExperts(n_experts=3)
    fit = told(model, x, y, np.empty((309, 0)))
    assert_honest(fit)
    assert fit.results.certificate.trusted
    assert fit.results.certificate.optimum.masses[-1] == pytest.approx(9.0, abs=0.1)


@pytest.mark.parametrize("n_experts", [3, 4])
def test_experts_asked_for_in_vain_stay(n_experts):
    """flexmix returns one component where two were asked for; plots and tests downstream break."""
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, 100)
    fit = told(ms.MixtureOfExperts(n_experts=n_experts), x, 1 + x + 0.3 * rng.standard_normal(100), n_starts=6)
    assert_honest(fit)
    assert fit.results.params.expert.variances.shape == (n_experts,)
    assert fit.results.certificate.optimum.masses.sum() == pytest.approx(100.0)


@pytest.mark.parametrize("gate", ["constant", "covariate"])
def test_an_expert_with_one_value_of_its_covariate_is_fitted(gate):
    """mixtools stops with 'qr.solve: singular matrix' when a component's rows do not determine its line."""
    rng = np.random.default_rng(7)
    x = np.r_[rng.uniform(-2, 2, 60), np.full(30, 1.0)]
    y = np.r_[x[:60], np.full(30, 40.0)] + 0.3 * rng.standard_normal(90)
    fit = told(ms.MixtureOfExperts(), x, y, np.empty((90, 0)) if gate == "constant" else None, n_starts=6)
    assert_honest(fit)
    # the slope that these rows leave open lets the line meet another row, at most two
    assert 29.9 < fit.results.certificate.optimum.masses.min() < 32.1
    assert fit.results.expert_means(np.array([[1.0]]))[0].max() == pytest.approx(40.0, abs=0.3)


# ------------------------------------------------------------------------------------ absolute floors
@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e100, 1e149])
def test_no_floor_is_absolute(scale):
    """sklearn's GaussianMixture adds 1e-6 to every variance: at scales of 1e-160 it is wrong without a word."""
    x, y = two_lines()
    model = ms.MixtureOfExperts()
    base, scaled = ms.fit(model, x, y, n_starts=6), ms.fit(model, x, scale * y, n_starts=6)
    assert scaled.certificate.trusted
    assert scaled.llf + 80 * np.log(scale) == pytest.approx(base.llf, rel=1e-9)
    np.testing.assert_allclose(scaled.params.expert.slopes / scale, base.params.expert.slopes, rtol=1e-8)
    np.testing.assert_allclose(scaled.params.expert.variances / scale / scale, base.params.expert.variances, rtol=1e-8)
    np.testing.assert_allclose(scaled.params.gate.slopes, base.params.gate.slopes, rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_a_response_whose_variance_overflows_is_refused(scale):
    """sklearn's GaussianMixture fits at 1e-160, wrongly, and speaks of infinities at 1e160, where there are none."""
    x, y = two_lines()
    with pytest.raises(InputError, match=r"y varies over .* double precision cannot hold its variance"):
        ms.fit(ms.MixtureOfExperts(), x, scale * y)


def test_a_collapsed_component_is_not_reported_as_the_maximum():
    """Users of sklearn's GaussianMixture met collapsed components by their log-densities far above zero."""
    y = np.r_[np.random.default_rng(8).standard_normal(60), np.full(12, 0.5)]
    fit = told(ms.MixtureOfExperts(), None, y)
    assert_honest(fit)
    assert fit.results.certificate.status is not STRICT or (fit.results.params.expert.variances > 1e-4).all()
    spikes = [r for r in fit.results.certificate.rivals if r.status in (ms.Status.AT_FLOOR, ms.Status.SPIKE)]
    assert spikes or fit.results.certificate.status is ms.Status.AT_FLOOR


# ------------------------------------------------------------------------------------ labels
def test_the_order_of_the_starting_experts_leaves_no_trace():
    """Replicates of a simulation come back permuted from lcmm (30 % of them), so that their means mean nothing."""
    x, y = two_lines()
    model = ms.MixtureOfExperts()
    first = ms.fit(model, x, y, n_starts=6)
    start = from_labels(model, x, y, None, first.responsibilities().T)
    fits = [ms.fit(model, x, y, start=relabelled(start, order)) for order in ([0, 1], [1, 0])]
    np.testing.assert_allclose(numbers(fits[1].params), numbers(fits[0].params), rtol=1e-9)


def test_em_does_not_draw_again_in_its_e_step():
    """A notebook of a textbook draws new responsibilities in every E-step, so that EM never runs."""
    x, y = two_lines()
    model = ms.MixtureOfExperts()
    problem = Problem.of(model, model.data(x, y))
    start = problem.admit(np.random.default_rng(9).standard_normal(problem.layout.size))
    one, two = (solve(problem, solver, start) for solver in (EMThenNewton(), EMThenNewton()))
    assert one.trace == two.trace
    np.testing.assert_array_equal(one.theta, two.theta)
