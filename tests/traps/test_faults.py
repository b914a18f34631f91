"""What data can do to a fit: every fault ends in an error that names it, a named warning, or the right numbers."""

from __future__ import annotations

from itertools import islice, permutations

import numpy as np
import pytest
import statsmodels.api as sm

import moestat as ms
from moestat.errors import (
    ConvergenceWarning,
    EmptyExpertWarning,
    InputError,
    RankDeficientWarning,
    SeparationWarning,
    SpikeWarning,
)
from moestat.solvers import Problem
from moestat.starts import StartLaw
from tests.traps.fits import assert_honest, from_labels, numbers, quiet, relabelled, told, two_lines

Status = ms.Status
TWO, THREE = ms.MixtureOfExperts(), ms.MixtureOfExperts(n_experts=3)


def plane_rows(n=120, seed=1):
    """Two covariates and rows around two planes."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.uniform(-2, 2, (n, 2)) * 2**10) / 2**10  # shifts by whole numbers round nothing
    side = rng.random(n) < 1 / (1 + np.exp(-X[:, 1]))
    return X, np.where(side, 1 + X @ [2.0, 1.0], 4 - X @ [1.0, -1.0]) + 0.4 * rng.standard_normal(n)


# ------------------------------------------------------------------------------------ columns without information
USELESS = {
    "constant": (lambda X: np.full(len(X), 7.25), "x3 is constant"),
    "zero": (lambda X: np.zeros(len(X)), "x3 is constant"),
    "repeated": (lambda X: X[:, 0], "x3 = x1"),
    "combination": (lambda X: 2 * X[:, 0] - X[:, 1] + 3, "x3 = 2 x1 - x2 + 3"),
    "far copy": (lambda X: 1e6 + X[:, 0] / 8, "x3 = 0.125 x1 + 1e+06"),
}


@pytest.mark.parametrize("fault", USELESS)
def test_a_column_without_information_changes_nothing_and_is_named(fault):
    """Constant and collinear columns: statsmodels takes a pseudo-inverse and warns of a singular matrix."""
    column, words = USELESS[fault]
    X, y = plane_rows()
    base = ms.fit(TWO, X, y, n_starts=3)
    fit = told(TWO, np.column_stack([X, column(X)]), y, n_starts=3)
    assert_honest(fit)
    assert fit.warned(RankDeficientWarning, words)
    assert words in str(fit.results.certificate)
    assert fit.results.llf == pytest.approx(base.llf, rel=1e-10)
    np.testing.assert_allclose(fit.results.predict(), base.predict(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(fit.results.gate_weights(), base.gate_weights(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(fit.results.params.expert.variances, base.params.expert.variances, rtol=1e-10)
    assert fit.results.df_model == base.df_model


def test_a_constant_column_gets_the_coefficient_zero():
    """A pseudo-inverse shares the intercept out between such a column and the constant."""
    X, y = plane_rows()
    results = quiet(TWO, np.column_stack([X, np.full(len(y), 7.25)]), y, n_starts=3)
    assert (results.params.expert.slopes[:, 2] == 0).all()
    assert (results.params.gate.slopes[:, 2] == 0).all()


# ------------------------------------------------------------------------------------ scales
@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("column", [0, 1, slice(None)])
def test_covariates_of_any_size_give_the_same_fit(column, scale):
    """Columns of size 1e150 overflow in sums of squares, columns of size 1e-150 look constant."""
    X, y = plane_rows()
    unit = np.ones(2)
    unit[column] = scale
    base, scaled = ms.fit(TWO, X, y, n_starts=3), ms.fit(TWO, unit * X, y, n_starts=3)
    assert scaled.llf == pytest.approx(base.llf, rel=1e-10)
    np.testing.assert_allclose(scaled.params.expert.slopes * unit, base.params.expert.slopes, rtol=1e-8)
    np.testing.assert_allclose(scaled.params.gate.slopes * unit, base.params.gate.slopes, rtol=1e-8)
    np.testing.assert_allclose(scaled.params.expert.variances, base.params.expert.variances, rtol=1e-8)


@pytest.mark.parametrize("shift", [1e6, -1e9])
def test_covariates_far_from_zero_give_the_same_fit(shift):
    """Normal equations in raw units lose every digit of years, seconds since 1970, or map coordinates."""
    X, y = plane_rows()
    base, shifted = ms.fit(TWO, X, y, n_starts=3), ms.fit(TWO, X + shift, y, n_starts=3)
    assert shifted.llf == pytest.approx(base.llf, rel=1e-9)
    np.testing.assert_allclose(shifted.params.expert.slopes, base.params.expert.slopes, rtol=1e-7)


# ------------------------------------------------------------------------------------ few rows
@pytest.mark.parametrize("n_experts", [1, 2, 3])
@pytest.mark.parametrize("n", [3, 4, 6])
def test_fewer_rows_than_parameters_are_no_maximum(n, n_experts):
    """OLS returns infinite errors with a warning, GaussianMixture stops; here the end point says what it is."""
    X, y = plane_rows()
    model = ms.MixtureOfExperts(n_experts=n_experts)
    fit = told(model, X[:n], y[:n], n_starts=2)
    assert_honest(fit)
    if n <= 3 * n_experts:  # every expert can meet three rows
        assert not fit.results.certificate.trusted


@pytest.mark.parametrize("n", [1, 2, 50])
def test_fewer_distinct_rows_than_experts_are_refused(n):
    """Two points cannot have three experts, however often they are repeated."""
    x, y = np.array([0.0, 1.0]), np.array([1.0, 3.0])
    with pytest.raises(InputError, match="only 2 distinct rows, fewer than n_experts=3"):
        ms.fit(THREE, np.repeat(x, n), np.repeat(y, n))


def test_rows_that_differ_in_sign_of_zero_alone_are_not_distinct():
    """Minus zero is zero."""
    with pytest.raises(InputError, match="only 1 distinct row, fewer than n_experts=2"):
        ms.fit(TWO, np.array([0.0, -0.0]), np.array([-0.0, 0.0]))


def test_repeated_rows_are_weights():
    """Components on repeated rows make GaussianMixture stop with an error; here they count as often as they occur."""
    x, y = two_lines(60)
    times = np.random.default_rng(2).integers(1, 5, 60)
    repeated = ms.fit(TWO, np.repeat(x, times), np.repeat(y, times), n_starts=6)
    weighted = ms.fit(TWO, x, y, sample_weight=times, n_starts=6)
    assert repeated.llf == pytest.approx(weighted.llf, rel=1e-10)
    np.testing.assert_allclose(numbers(repeated.params), numbers(weighted.params), rtol=1e-8)


def test_a_constant_response_is_an_exact_fit():
    """Nothing is left for a variance: the fit ends on the floor, and says so."""
    fit = told(ms.MixtureOfExperts(n_experts=1), np.arange(10.0), np.full(10, 3.0))
    assert_honest(fit)
    assert fit.results.certificate.status is Status.AT_FLOOR
    assert fit.warned(SpikeWarning)
    np.testing.assert_allclose(fit.results.predict(), 3.0)


# ------------------------------------------------------------------------------------ separation
def assert_supremum(fit, supremum):
    """A named runaway whose limit is the supremum, approached from below."""
    optimum = fit.results.certificate.optimum
    assert_honest(fit)
    assert optimum.status is Status.RUNAWAY
    assert fit.warned(SeparationWarning)
    assert optimum.monotone
    assert fit.results.llf <= supremum + 1e-7
    assert fit.results.llf == pytest.approx(supremum, abs=1e-5)
    assert optimum.limit == pytest.approx(supremum, abs=1e-6)


def test_a_gate_that_separates_is_named_with_limit_and_partition():
    """Two segments with a gap: statsmodels' Logit would report a coefficient of 22.9, sklearn's nothing at all."""
    x = np.r_[np.linspace(0, 1, 30), np.linspace(2, 3, 20)]
    y = np.r_[3 * x[:30], 3 - 3 * (x[30:] - 2)] + 0.1 * np.random.default_rng(3).standard_normal(50)
    fit = told(TWO, x, y, n_starts=8)
    halves = [sm.OLS(y[rows], sm.add_constant(x[rows])).fit().llf for rows in (slice(30), slice(30, 50))]
    assert_supremum(fit, sum(halves))
    assert fit.results.certificate.optimum.partition == (30, 20, 0)
    assert "expert 1 alone has 30, expert 2 alone has 20; 0 shared" in str(fit.results.certificate)


def quasi_separated(n=100):
    """Where z is one all rows are of one kind, where it is zero both kinds occur."""
    rng = np.random.default_rng(4)
    z = np.repeat([0.0, 1.0], [n - 40, 40])
    return rng, z, (z == 1) | (rng.random(n) < 0.5)


def test_a_gate_that_separates_some_rows_only_is_named():
    """Quasi-separation: one weight goes to one, the others stay."""
    rng, z, first = quasi_separated()
    x = rng.uniform(-1, 1, 100)
    y = np.where(first, 50 + x, -50 - x) + 0.3 * rng.standard_normal(100)
    fit = told(TWO, x, y, z, n_starts=6)
    lines = [sm.OLS(y[rows], sm.add_constant(x[rows])).fit().llf for rows in (first, ~first)]
    share = first[z == 0].mean()
    entropy = 60 * (share * np.log(share) + (1 - share) * np.log(1 - share))
    assert_supremum(fit, sum(lines) + entropy)
    assert fit.results.certificate.optimum.partition == (40, 0, 60)


def test_classes_that_separate_are_named():
    """Complete separation of a multinomial expert: the supremum is zero, the coefficients have none."""
    x = np.arange(20.0)
    fit = told(ms.MixtureOfExperts(expert="multinomial", n_experts=1), x, x > 9.5)
    assert_supremum(fit, 0.0)
    assert "x1" in fit.results.certificate.optimum.runaway[0]


def test_classes_that_separate_some_rows_only_are_named():
    """Quasi-separation of a multinomial expert: the binomial log-likelihood of the undecided rows is the supremum."""
    _, z, first = quasi_separated()
    fit = told(ms.MixtureOfExperts(expert="multinomial", n_experts=1), z, np.where(first, "b", "a"))
    share = first[z == 0].mean()
    assert_supremum(fit, 60 * (share * np.log(share) + (1 - share) * np.log(1 - share)))


def test_three_classes_of_which_one_separates_are_named():
    """The odds of one class run away, those between the other two are determined."""
    x = np.linspace(-1, 1, 60)
    rest = np.where(np.random.default_rng(1).random(60) < 0.5, "b", "c")
    fit = told(ms.MixtureOfExperts(expert="multinomial", n_experts=1), x, np.where(x < 0, "a", rest))
    right = x >= 0
    inner = sm.Logit((rest[right] == "c").astype(float), sm.add_constant(x[right])).fit(disp=False)
    assert_supremum(fit, inner.llf)


# ------------------------------------------------------------------------------------ spikes
def planted(points, copies, seed=0):
    """Crossing lines with a few points far off, each there so many times; and who is who."""
    x, y = two_lines(80, seed)
    at = np.repeat(np.array([-1.0, 0.5, 1.5])[:points], copies)
    resp = np.zeros((3, 80 + at.size))
    resp[0, :80] = y < 1 + 0.5 * x
    resp[1, :80] = 1 - resp[0, :80]
    resp[2, 80:] = 1
    return np.r_[x, at], np.r_[y, 8 + at / 2], resp


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize("points", [2, 3])
def test_an_expert_on_a_few_planted_points_is_a_spike(points, copies):
    """An expert without variance: the likelihood has no bound there, and the number found is that of the floor."""
    X, y, resp = planted(points, copies)
    fit = told(THREE, X, y, start=from_labels(THREE, X, y, None, resp))
    assert_honest(fit)
    optimum = fit.results.certificate.optimum
    assert optimum.status is Status.AT_FLOOR
    assert fit.warned(SpikeWarning)
    assert optimum.floors == ("expert[3].variance",)
    assert optimum.spikes == (3,)
    assert optimum.masses[2] == pytest.approx(points * copies, abs=1e-3)
    assert fit.results.params.expert.variances.min() > 0


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize("points", [2, 3])
def test_a_fit_prefers_a_maximum_to_a_spike_and_lists_the_spike(points, copies):
    """A higher likelihood behind a few rows is no merit, also when the caller's own start leads there."""
    X, y, resp = planted(points, copies)
    spike = from_labels(THREE, X, y, None, resp)
    fit = told(THREE, X, y, start=[spike], n_starts=12)
    assert_honest(fit)
    certificate = fit.results.certificate
    spikes = [r for r in certificate.rivals if r.status in (Status.AT_FLOOR, Status.SPIKE)]
    if certificate.status is Status.STRICT_MAXIMUM:
        assert max(r.loglik for r in spikes) > fit.results.llf
        assert not certificate.optimum.spikes
        assert "(a spike)" in str(certificate)
    else:
        assert certificate.status in (Status.AT_FLOOR, Status.SPIKE)
        assert fit.warned(SpikeWarning)
    given = fit.results.starts.iloc[0]
    assert given.family == "given"
    assert given.status == Status.AT_FLOOR.value


def test_three_points_that_almost_lie_on_a_line_are_a_spike():
    """A variance far above its floor rests on three rows all the same: any three rows could be met so."""
    X, y, resp = planted(3, 1)
    y[-1] += 1e-3
    fit = told(THREE, X, y, start=from_labels(THREE, X, y, None, resp))
    assert_honest(fit)
    optimum = fit.results.certificate.optimum
    assert optimum.status is Status.SPIKE
    assert optimum.floors == ()
    assert optimum.spikes == (3,)
    assert fit.warned(SpikeWarning)


def test_planted_copies_of_one_point_are_a_spike():
    """An expert of zero variance: the floor that holds it is named."""
    x = np.r_[np.linspace(0, 1, 30), np.full(10, 0.5)]
    y = np.r_[np.random.default_rng(2).standard_normal(30), np.full(10, 5.0)]
    fit = told(TWO, x, y, n_starts=6)
    assert_honest(fit)
    optimum = fit.results.certificate.optimum
    assert optimum.status is Status.AT_FLOOR
    assert optimum.floors == ("expert[2].variance",)
    assert fit.warned(SpikeWarning)


# ------------------------------------------------------------------------------------ experts without rows
def far_away():
    """A second expert that no row would choose."""
    gate = {"slopes": [[0.0], [0.0]], "intercepts": [0.0, -50.0]}
    expert = {"slopes": [[0.5], [0.0]], "intercepts": [2.0, 1e6], "variances": [2.0, 1e-6]}
    return TWO.params(gate=gate, expert=expert)


def test_an_expert_that_a_start_leaves_without_rows_is_placed_anew():
    """flexmix drops it, mixtools starts again from random values."""
    x, y = two_lines()
    fit = told(TWO, x, y, start=far_away(), n_starts=3)
    assert_honest(fit)
    assert fit.results.starts.reseeded[0] >= 1
    assert fit.results.certificate.n_reseeded >= 1
    assert fit.results.certificate.trusted
    assert fit.results.llf == pytest.approx(ms.fit(TWO, x, y, n_starts=6).llf, rel=1e-10)


def test_an_expert_that_stays_without_rows_is_named():
    """flexmix returns one component where two were asked for; here the empty one stays, with a name."""
    x, y = two_lines()
    fit = told(TWO, x, y, start=far_away())
    assert_honest(fit)
    optimum = fit.results.certificate.optimum
    assert optimum.empty == (2,)
    assert not fit.results.certificate.trusted
    assert fit.warned(EmptyExpertWarning, "Expert 2 has almost no mass")
    assert "expert 2 has almost no mass" in str(fit.results.certificate)


#: rows of one bit each, on which three experts are one too many: (covariate of the gate, response)
BITS = (
    [0.47, 0.09, 0.01, -0.33, 0.64, -1.78, -1.02, 0.59, -0.08, 0.55, -0.19, 1.37, -2.24, -1.42, -0.79, 2.04],
    [-1, -1, -1, 1, -1, -1, 1, -1, -1, -1, -1, -1, 1, 1, -1, 1],
)


@pytest.mark.parametrize("seed", range(4))
def test_an_expert_without_rows_keeps_finite_parameters(seed):
    """Nothing holds the variance of an empty expert: steps along flat directions must not carry it to infinity."""
    z, y = (np.array(values, dtype=float) for values in BITS)
    fit = told(THREE, None, y, z, families=["local_lines"], n_starts=1, seed=seed)
    assert np.abs(fit.results.theta).max() < 1e3
    assert_honest(fit)


# ------------------------------------------------------------------------------------ labels and rows that do not count
def test_a_permuted_start_gives_the_same_result():
    """Label switching: six orders of one start, one canonical result."""
    x, y = two_lines(120, seed=5)
    x, y = np.r_[x, np.linspace(-2, 2, 30)], np.r_[y, 8 + 0.3 * np.random.default_rng(6).standard_normal(30)]
    labels = np.r_[(y[:120] < 1 + 0.5 * x[:120]).astype(int), np.full(30, 2)]
    start = from_labels(THREE, x, y, None, np.where(labels == np.arange(3)[:, None], 0.9, 0.05))
    first, *others = (ms.fit(THREE, x, y, start=relabelled(start, order)) for order in permutations(range(3)))
    assert (np.diff(first.certificate.optimum.masses) <= 0).all()
    for other in others:
        assert other.llf == pytest.approx(first.llf, rel=1e-12)
        np.testing.assert_allclose(numbers(other.params), numbers(first.params), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("filler", ["ordinary", "not a number", "huge"])
def test_a_row_of_weight_zero_is_absent_to_the_last_bit(filler):
    """Zero weights that still shift means, scales or random draws change a fit in its last digits, or more."""
    x, y = two_lines()
    value = {"ordinary": 1.5, "not a number": np.nan, "huge": 1e300}[filler]
    place = np.array([0, 7, 7, 40, 80])
    X, Y, W = np.insert(x, place, value), np.insert(y, place, -value), np.insert(np.ones(80), place, 0.0)
    plain, padded = ms.fit(TWO, x, y, n_starts=6), ms.fit(TWO, X, Y, sample_weight=W, n_starts=6)
    assert padded.llf == plain.llf
    np.testing.assert_array_equal(padded.theta, plain.theta)
    np.testing.assert_array_equal(numbers(padded.params), numbers(plain.params))
    assert padded.certificate == plain.certificate
    assert padded.starts.equals(plain.starts)


def test_starts_do_not_see_rows_of_weight_zero():
    x, y = two_lines()
    plain = StartLaw.of(Problem.of(TWO, TWO.data(x, y)), 0)
    padded = StartLaw.of(Problem.of(TWO, TWO.data(np.r_[9.0, x], np.r_[9.0, y], None, np.r_[0.0, np.ones(80)])), 0)
    for one, other in islice(zip(plain, padded, strict=False), 7):
        np.testing.assert_array_equal(one.theta, other.theta)


@pytest.mark.parametrize("ratio", [1e6, 1e12])
def test_weights_of_very_different_sizes_are_borne(ratio):
    """A few rows that outweigh all others are a spike at worst, never an exception."""
    x, y = two_lines(60)
    weight = np.where(np.arange(60) % 20 == 0, ratio, 1.0)
    fit = told(TWO, x, y, sample_weight=weight, n_starts=2)
    assert_honest(fit)


def test_every_end_that_is_no_strict_maximum_warns():
    """One solver step from a start: nothing is claimed."""
    x, y = two_lines()
    fit = told(TWO, x, y, start=from_labels(TWO, x, y, None, np.full((2, 80), 0.5)), solver=ms.solvers.EM(max_iter=1))
    assert not fit.results.certificate.trusted
    assert fit.warned(ConvergenceWarning)
