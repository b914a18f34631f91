"""Slopes against second sources, and what is said of values that are missing."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, stats

from moestat.errors import InputError
from moestat.montecarlo.slopes import Measured, NoSlopeError, effective_slope, strata
from moestat.montecarlo.slopes.bootstrap import correlation
from moestat.montecarlo.slopes.points import points_of, smoothed
from moestat.montecarlo.slopes.studentised import Resampled, _squares, resampled
from moestat.montecarlo.slopes.summaries import SUMMARIES, summary
from moestat.montecarlo.slopes.two_term import two_term
from moestat.montecarlo.slopes.weighted import line, projector
from tests.unit.montecarlo.slopes.exact import SIZES, exact


def study(seed=0, sizes=SIZES, replications=60, spread=0.8, correlated=0.0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((replications, 1))
    z = np.sqrt(correlated) * shared + np.sqrt(1 - correlated) * rng.standard_normal((replications, len(sizes)))
    return Measured(np.asarray(sizes), tuple((np.exp(spread * z) * sizes**-0.5).T))


@pytest.mark.parametrize("functional", SUMMARIES)
@pytest.mark.parametrize("smooth", [True, False])
def test_the_line_is_that_of_statsmodels(functional, smooth):
    slope = effective_slope(study(), functional, smooth=smooth)
    points = slope.points
    other = sm.WLS(points.log_estimates, sm.add_constant(points.log_sizes), weights=1 / points.variances).fit()
    inflation = max(1.0, float(other.scale))
    assert np.isclose(slope.slope, other.params[1])
    assert np.isclose(slope.fit.birge**2, other.scale)
    assert np.isclose(slope.standard_error**2, other.normalized_cov_params[1, 1] * inflation)
    assert np.isclose(slope.fit.p_value, stats.chi2.sf(other.ssr, 10))


def test_own_variances_on_demand():
    points = effective_slope(study(), smooth=False).points
    assert np.array_equal(points.variances, points.own_variances)


def test_the_parabola_is_that_of_statsmodels():
    slope = effective_slope(study())
    points = slope.points
    x = points.log_sizes - np.log(SIZES[0] * SIZES[-1]) / 2
    other = sm.WLS(points.log_estimates, np.column_stack([x**0, x, x**2]), weights=1 / points.variances).fit()
    error = np.sqrt(other.normalized_cov_params[2, 2] * max(1.0, float(other.scale)))
    assert np.isclose(slope.curvature.coefficient, other.params[2])
    assert np.isclose(slope.curvature.standard_error, error)
    assert np.isclose(slope.curvature.p_value, 2 * stats.norm.sf(abs(other.params[2]) / error))
    assert np.isclose(slope.curvature.at_high, other.params[1] + 2 * other.params[2] * x[-1])


def test_quantiles_are_students_where_points_stray():
    """Scatter that no Monte Carlo error tells of."""
    zigzag = exact(lambda n: n**-0.5 * np.exp(0.5 * (-1.0) ** np.arange(len(n))))
    fit = effective_slope(zigzag).fit
    assert fit.strays
    assert fit.birge > 3
    assert np.isclose(fit.quantile(0.95), stats.t.ppf(0.975, 10))
    assert np.isclose(effective_slope(exact(lambda n: n**-0.5)).fit.quantile(0.95), stats.norm.ppf(0.975))


def test_smoothed_variances_leave_a_law_with_a_trend_alone():
    sizes, counts = SIZES, np.arange(20, 32)
    variances = 3 * sizes**-0.2 / counts
    assert np.allclose(smoothed(variances, counts, sizes), variances)
    both = smoothed(np.stack([variances, 7 * variances]), counts, sizes)
    assert np.allclose(both[1], 7 * variances)


@pytest.mark.parametrize("functional", SUMMARIES)
@pytest.mark.parametrize(("exponent", "constant"), [(0.5, 1.0), (0.125, 1e-9)])
def test_a_power_law_without_luck_has_its_exponent(functional, exponent, constant):
    slope = effective_slope(exact(lambda n: constant * n**-exponent), functional)
    assert np.isclose(slope.slope, -exponent, atol=1e-12)
    assert np.allclose(slope.local.slopes, -exponent)
    assert all(np.isclose(one.slope, -exponent) for one in slope.dropped)
    assert slope.fit.q <= 1e-12
    assert abs(slope.curvature.coefficient) <= 1e-12


def test_local_slopes_and_their_errors():
    slope = effective_slope(study())
    points, local = slope.points, slope.local
    gaps = np.diff(np.log(SIZES))
    assert np.allclose(local.slopes, np.diff(points.log_estimates) / gaps)
    assert np.allclose(local.standard_errors, np.sqrt(points.variances[1:] + points.variances[:-1]) / gaps)


def test_dropping_sizes_is_a_window():
    """With each size's own variance, as smoothing looks at all sizes."""
    slope = effective_slope(study(), smooth=False)
    narrower = effective_slope(study(), smooth=False, window=(SIZES[3] * 0.99, SIZES[-1]))
    assert len(slope.dropped) == 10
    assert slope.dropped[3].n_min == narrower.window[0]
    assert np.allclose(slope.dropped[3].interval, narrower.interval)


# Nested data.


def test_joint_resampling_finds_the_correlation():
    """That of logs, for a mean of logs: 4,000 draws tell it within 0.05 (three standard errors)."""
    measured = study(correlated=0.7)
    prepared = tuple(np.log(one) for one in measured.values)
    found = correlation(prepared, measured.replications, summary("geometric"), 4000, np.random.default_rng(0))
    assert np.abs(found - np.corrcoef(prepared)).max() < 0.05


def test_the_order_of_replications_does_not_matter():
    measured = study(correlated=0.7)
    orders = [np.random.default_rng(j).permutation(60) for j in range(12)]
    values = tuple(one[order] for one, order in zip(measured.values, orders, strict=True))
    shuffled = Measured(SIZES, values, tuple(orders))
    one, other = (effective_slope(of, nested=True) for of in (measured, shuffled))
    assert np.isclose(one.standard_error, other.standard_error)
    assert not np.isclose(one.standard_error, effective_slope(Measured(SIZES, values), nested=True).standard_error)


def test_what_replications_share_leaves_a_slope_alone():
    """Data with a common part have a more certain slope than their sizes apart would have: 1 - 0.9 of the variance."""
    measured = study(correlated=0.9, replications=400)
    nested, apart = (effective_slope(measured, "geometric", nested=flag) for flag in (True, False))
    assert nested.slope == apart.slope
    ratio = np.sqrt(nested.fit.covariance[1, 1] / apart.fit.covariance[1, 1])
    assert np.isclose(ratio, np.sqrt(0.1), rtol=0.15)


def test_lack_of_fit_of_nested_data_is_hotelling():
    """Does not depend on the basis of contrasts: second differences give the same."""
    slope = effective_slope(study(correlated=0.5), nested=True)
    points = slope.points
    outside = np.eye(12) - line(points.log_sizes) @ projector(line(points.log_sizes), np.ones(12))
    basis = np.linalg.svd(outside)[0][:, :10]
    r = basis.T @ points.log_estimates
    t_squared = r @ np.linalg.inv(basis.T @ points.covariance @ basis) @ r
    assert np.isclose(slope.fit.q, t_squared * (60 - 10) / 59)
    assert np.isclose(slope.fit.p_value, stats.f.sf(slope.fit.q / 10, 10, 50))


def test_nested_with_missing_values():
    """A replication without a value at one size still counts at the others."""
    measured = study(correlated=0.7)
    holes = tuple(np.where(np.arange(60) == 3 * j, np.nan, one) for j, one in enumerate(measured.values))
    slope = effective_slope(Measured(SIZES, holes), "geometric", nested=True)
    whole = effective_slope(measured, "geometric", nested=True)
    assert slope.points.missing.tolist() == [1] * 12
    assert np.isclose(slope.standard_error, whole.standard_error, rtol=0.15)


def test_nested_needs_replications():
    with pytest.raises(InputError, match="nested data need more replications than the 12 sizes, by two; got 10"):
        effective_slope(study(replications=10), nested=True)


@pytest.mark.parametrize("nested", [False, True])
def test_bootstrap_t_is_near_the_weighted_interval_of_light_tails(nested):
    measured = study(replications=200, spread=0.3)
    weighted, bootstrap = (
        effective_slope(measured, nested=nested, interval=kind).interval for kind in ("weighted", "bootstrap")
    )
    width = weighted[1] - weighted[0]
    assert np.abs(np.subtract(weighted, bootstrap)).max() < 0.15 * width


def test_the_seed_is_an_argument():
    one, same, other = (effective_slope(study(), interval="bootstrap", seed=seed).interval for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize("nested", [False, True])
def test_lack_of_fit_by_resampling(nested):
    """Not needed of points near a line; points that stray it rejects too, at the smallest value of 400 draws."""
    ordinary = effective_slope(study(0), nested=nested)
    assert not ordinary.fit.strays
    assert ordinary.stray_p == ordinary.fit.p_value
    zigzag = study(replications=200)
    values = tuple(one * np.exp(0.3 * (-1) ** j) for j, one in enumerate(zigzag.values))
    straying = effective_slope(Measured(SIZES, values), nested=nested)
    assert straying.fit.strays
    assert np.isclose(straying.stray_p, 1 / 401)
    assert "by resampling 0.0025" in str(straying)


def test_resampled_points_stray_as_theory_says_where_losses_are_gaussian():
    """Sums of squares of residuals are chi^2 with J - 2 degrees of freedom: 4,000 draws of 400 values, within 5 %."""
    of, measured = summary("geometric"), study(replications=400)
    points, prepared, _ = points_of(measured, of, rng=np.random.default_rng(0))
    draws = resampled(points, measured, prepared, of, smooth=True, n_draws=4000, rng=np.random.default_rng(1))
    squares = _squares(points, draws)
    assert np.isclose(squares.mean(), 10, rtol=0.05)
    assert np.isclose(np.quantile(squares, 0.95), stats.chi2.ppf(0.95, 10), rtol=0.05)
    own = _squares(points, Resampled(points.log_estimates[None], points.variances[None]))
    assert np.isclose(own[0], effective_slope(measured, "geometric").fit.q)


# Other forms.


def test_powers_of_log_n_without_luck():
    logs = effective_slope(exact(lambda n: (np.log(n) / n) ** 0.25), powers=(0.0, 0.25)).logs
    assert np.isclose(logs.ratio.value, 0.25)
    assert np.isclose(logs.power.value, 0.25)
    assert np.isclose(logs.slope.value, -0.25)
    (_, without), (_, held) = logs.held
    assert np.isclose(held.value, -0.25)
    assert np.isclose(without.value, effective_slope(exact(lambda n: (np.log(n) / n) ** 0.25)).slope)
    assert logs.power.standard_error > 10 * held.standard_error


def test_a_second_term_without_luck():
    """On the grid of h its exponent is found; with this noise the interval says how little that means."""
    sizes = np.geomspace(1e2, 1e6, 12)
    second = effective_slope(exact(lambda n: n**-0.5 * (1 + 20 * n**-0.5), sizes, 20_000, 0.05)).two_term
    assert np.isclose(second.slope, -0.5, atol=5e-3)
    assert second.interval[0] < -0.5 < second.interval[1]
    assert second.determined
    assert second.gain > 100
    noisy = effective_slope(exact(lambda n: n**-0.5 * (1 + 20 * n**-0.5), replications=50)).two_term
    assert noisy.interval[0] < -0.5 < noisy.interval[1]
    assert not noisy.determined


def test_the_profile_is_that_of_a_general_optimiser():
    """chi^2 at the best curve with an exponent held at the end of the interval, over h, a and c by SciPy."""
    slope = effective_slope(exact(lambda n: n**-0.5 * (1 + 20 * n**-0.5), np.geomspace(1e2, 1e6, 12), 4000, 0.3))
    points, found = slope.points, two_term(slope.points, 0.95)
    x, y, errors = points.log_sizes, points.log_estimates, np.sqrt(points.variances)

    def distance(parameters, g):
        h, factor = parameters
        rest = y + g * x - np.log1p(np.expm1(factor) * np.exp(-h * (x - x[0])))
        return np.square((rest - np.average(rest, weights=errors**-2)) / errors).sum()

    def best(g):
        starts = [(h, factor) for h in (0.2, 0.5, 1.0) for factor in (-1.0, 0.5, 2.0)]
        bounds = [(1 / 8, 2), (-3, 3)]
        return min(optimize.minimize(distance, start, args=(g,), bounds=bounds).fun for start in starts)

    smallest = best(-found.slope)
    for end in found.interval:
        assert np.isclose(best(-end) - smallest, stats.norm.ppf(0.975) ** 2, atol=0.25)


# Missing values, bad input, printing.


def test_missing_values_are_left_out_counted_and_printed():
    whole = study()
    values = [one.copy() for one in whole.values]
    values[0][:7] = np.nan
    values[-1][4:] = np.nan
    slope = effective_slope(Measured(SIZES, tuple(values)))
    assert slope.left_out == ((SIZES[-1], 4),)
    assert slope.points.missing.tolist() == [7, *[0] * 10]
    text = str(slope)
    assert "7 replications have no value" in text
    assert "n=100000 is left out: 4 values" in text


def test_it_prints_its_evidence():
    text = str(effective_slope(study(), nested=True))
    first, *rest = text.splitlines()
    assert first.startswith("The effective slope of the mean loss on [1000, 100000] is -0.")
    for words in ("Birge", "lack of fit", "curvature", "local slopes", "from n=", "c n^-g", "(log(n)/n)^e", "nested"):
        assert any(words in one for one in rest), words
    assert "rate" not in text


def test_it_is_a_table():
    frame = effective_slope(study()).to_frame()
    assert len(frame) == 12
    assert np.isclose(np.square(frame.residual).sum(), effective_slope(study()).fit.q)


def test_three_sizes_are_the_least():
    few = exact(lambda n: n**-0.5, [100, 200, 400])
    slope = effective_slope(few)
    assert slope.curvature is None
    assert slope.two_term is None
    assert slope.logs.power is None
    assert "curvature" not in str(slope)
    with pytest.raises(InputError, match="a slope needs at least 3 sizes with 5 values each"):
        effective_slope(few, window=(100, 200))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.0}, "level must lie between 0 and 1; got 1.0"),
        ({"interval": "bca"}, "interval must be one of weighted, bootstrap; got 'bca'"),
        ({"n_draws": 10}, "n_draws must be at least 100; got 10"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        effective_slope(study(), **options)


def test_a_window_of_one_size():
    with pytest.raises(
        InputError, match=r"window must be two sample sizes, the smallest and the largest; got \(100,\)"
    ):
        effective_slope(study(), window=(100,))


def test_values_that_hardly_vary():
    """Equal but for two of forty: a mean has an error, a median has none, and resamples often have none either."""
    values = np.outer(SIZES**-0.5 / 3, np.ones(40))
    values[:, :2] *= [[0.5, 2.0]]
    measured = Measured(SIZES, tuple(values))
    assert np.isclose(effective_slope(measured).slope, -0.5)
    assert np.isclose(effective_slope(measured, nested=True).slope, -0.5)
    with pytest.raises(NoSlopeError, match="do not vary around their median"):
        effective_slope(measured, "median")
    with pytest.raises(NoSlopeError, match="of 400 resamples have values that vary at every size"):
        effective_slope(measured, interval="bootstrap")


def test_values_without_spread():
    values = Measured(SIZES, tuple(np.full(10, one) for one in SIZES**-0.5))
    with pytest.raises(InputError, match="values of n=1000 do not vary around their mean"):
        effective_slope(values)


# Classes of replications.


def test_classes_have_their_own_slopes():
    """Two configurations with slopes -1/2 and -1/4, whose shares move with n."""
    fast, slow = exact(lambda n: n**-0.5), exact(lambda n: n**-0.25)
    counts = np.linspace(20, 180, 12).astype(int)
    picks = [np.linspace(0, 199, count).astype(int) for count in counts]
    values = [np.concatenate([f, s[pick]]) for f, s, pick in zip(fast.values, slow.values, picks, strict=True)]
    labels = [["1+2"] * 200 + ["3+0"] * count for count in counts]
    found = strata(Measured(SIZES, tuple(values)), labels, functional="median")
    assert np.isclose(found.slopes["1+2"].slope, -0.5)
    assert np.isclose(found.slopes["3+0"].slope, -0.25, atol=0.01)
    assert np.allclose(found.shares["3+0"], counts / (200 + counts))
    assert np.allclose(found.to_frame().sum(axis=1), 1)


def test_a_rare_class_has_no_slope_and_a_reason():
    measured = study()
    labels = [["rare" if r < 2 else "usual" for r in range(60)] for _ in SIZES]
    found = strata(measured, labels)
    assert set(found.slopes) == {"usual"}
    assert found.without["rare"].startswith("a slope needs at least 3 sizes")
    with pytest.raises(InputError, match="labels must be arrays of lengths"):
        strata(measured, labels[:-1])
    with pytest.raises(InputError, match="functional must be one of"):
        strata(measured, labels, functional="mode")
