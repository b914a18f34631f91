"""Which solution is reported, and in which units: where bounds, weights, scales and relations meet."""

from __future__ import annotations

import re

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError, RankDeficientWarning, SeparationWarning, SpikeWarning
from moestat.experts import Gaussian
from tests.traps.fits import quiet, told

TWO, THREE = ms.MixtureOfExperts(), ms.MixtureOfExperts(n_experts=3)


# ------------------------------------------------------------------------------------ few rows, bounded likelihood
def two_rows_far_off():
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, 300)
    y = np.where(rng.random(300) < 0.5, 1 + x, -1 - 2 * x) + rng.normal(0, 0.3, 300)
    y[:2] += 6
    return x, y


BOUNDED = {
    "bounded": (THREE, {"bounds": {"expert.variances": (0.05, None)}}),
    "common": (ms.MixtureOfExperts(n_experts=3, expert=Gaussian(variance="common")), {}),
    "held": (ms.MixtureOfExperts(n_experts=3, fixed={"expert.variances": 0.09}), {}),
}


@pytest.mark.parametrize("kind", BOUNDED)
def test_an_expert_on_two_rows_is_no_spike_where_no_variance_can_sink(kind):
    """The likelihood is bounded there, and its highest maximum is what it is; the few rows are a remark."""
    model, options = BOUNDED[kind]
    results = quiet(model, *two_rows_far_off(), **options)
    starts = results.starts
    assert results.certificate.trusted
    assert results.llf == pytest.approx(starts.loglik.max(), abs=1e-7)
    assert results.certificate.optimum.few == ((3, 2),)
    assert results.certificate.optimum.spikes == ()
    assert "expert 3 rests on 2 rows" in str(results.certificate)


def test_the_same_expert_is_a_spike_where_its_variance_can_sink():
    """A maximum that one start in forty reaches is reported, and not in silence."""
    fit = told(THREE, *two_rows_far_off())
    certificate = fit.results.certificate
    assert certificate.status is ms.Status.STRICT_MAXIMUM
    assert {rival.status for rival in certificate.higher} <= {ms.Status.SPIKE, ms.Status.AT_FLOOR}
    assert sum(rival.n_starts for rival in certificate.higher) > certificate.n_starts / 2
    assert not certificate.trusted
    assert fit.warned(SpikeWarning, "ended in spikes, up to +114.5 higher: a few rows stand out from all others")


def test_replicated_rows_are_not_few():
    """Four distinct rows per expert, hundreds of times each, say more than a few."""
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=2000)
    y = rng.integers(2, size=2000) + np.where(rng.random(2000) < 0.5, 0, 8)
    results = quiet(TWO, x, y, n_starts=10)
    assert results.certificate.optimum.few == results.certificate.optimum.spikes == ()
    assert results.certificate.status is not ms.Status.SPIKE


def test_experts_on_few_rows_are_always_remarked():
    """Noise with an expert too many: whatever the verdict, who rests on few rows is said."""
    said = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, 60))
        results = quiet(THREE, x, y)
        resp = results.responsibilities()
        for k, rows in results.certificate.optimum.few:
            assert (resp[:, k - 1] > 0.5).sum() == rows
            assert f"expert {k} rests on {rows} row" in str(results.certificate)
            said += 1
    assert said


# ------------------------------------------------------------------------------------ bounds and related columns
@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.4), (0.5, 0.9), (-1.0, 0.4)])
def test_bounds_with_related_columns_keep_the_maximum(lower, upper):
    """The least-norm solution may lie outside the box; what is reported has the likelihood that was found."""
    x = np.linspace(-1, 1, 50)
    y = 3 * x + np.random.default_rng(0).normal(0, 0.1, 50)
    X = np.column_stack([x, 2 * x])
    results = quiet(ms.MixtureOfExperts(n_experts=1), X, y, bounds={"expert.slopes": (lower, upper)})
    # a x + 2 b x with both in the box is any slope between three times its ends
    slope = np.clip(np.polyfit(x, y, 1)[0], 3 * lower, 3 * upper)
    residual = y - slope * x - (y - slope * x).mean()
    best = -25 * (np.log(2 * np.pi * residual @ residual / 50) + 1)
    assert results.llf == pytest.approx(best, abs=1e-8)
    assert results.starts.loglik.max() == pytest.approx(results.llf, abs=1e-9)
    assert results.certificate.optimum.fine_gradient <= 1e-8
    slopes = results.params.expert.slopes[0]
    assert ((slopes >= lower - 1e-12) & (slopes <= upper + 1e-12)).all()


# ------------------------------------------------------------------------------------ weights
@pytest.mark.parametrize(("name", "n_experts"), [("ethanol", 4), ("ethanol", 3), ("faithful", 3)])
def test_the_size_of_the_weights_changes_no_choice(name, n_experts):
    """Whatever they sum to: the same solution, found as often, beside the same rivals."""
    data, model = ms.datasets.load(name), ms.MixtureOfExperts(n_experts=n_experts)
    one = quiet(model, data.X, data.y).certificate
    for size in (1e-3, 2.0**-30):
        weight = np.full(len(data.y), size / len(data.y))
        light = quiet(model, data.X, data.y, sample_weight=weight).certificate
        assert light.status is one.status
        assert light.n_reached == one.n_reached
        assert [r.n_starts for r in light.rivals] == [r.n_starts for r in one.rivals]
        assert light.loglik * len(data.y) / size == pytest.approx(one.loglik, rel=1e-8)


# ------------------------------------------------------------------------------------ scales
SCALES = [(1.0, 1e-100), (1e90, 1e-80), (1.0, 1e-149), (1.0, 1e100), (1e-90, 1e80)]


def lines(scale_x=1.0, scale_y=1.0):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(200)
    y = np.where(rng.random(200) < 0.5, 1 + x, -1 - x) + 0.3 * rng.standard_normal(200)
    return quiet(TWO, x * scale_x, y * scale_y)


@pytest.mark.parametrize(("scale_x", "scale_y"), SCALES)
def test_standard_errors_hold_at_any_scale(scale_x, scale_y):
    """Their squares may not: the covariance then says so instead of being zero or infinite."""
    plain, scaled = lines(), lines(scale_x, scale_y)
    units = {"const": scale_y, "x1": scale_y / scale_x, "variance": scale_y**2}
    gate = {"const": 1.0, "x1": 1 / scale_x}
    unit = [(gate if name.startswith("gate") else units)[name.split(".")[1]] for name in plain.names]
    np.testing.assert_allclose(scaled.bse / unit, plain.bse, rtol=1e-9)
    np.testing.assert_allclose(scaled.conf_int()[1] / unit, plain.conf_int()[1], rtol=1e-9)
    assert not re.search(r"\b(inf|nan)\b", str(scaled.summary()))
    with pytest.raises(InputError, match="double precision cannot hold the covariances at this scale"):
        scaled.cov_params()


# ------------------------------------------------------------------------------------ new rows and relations
def test_new_rows_that_break_a_relation_are_told_from_those_that_keep_it():
    x = np.random.default_rng(0).standard_normal(200)
    y = np.where(np.random.default_rng(1).random(200) < 0.5, 1 + x, -1 - x)
    y = y + 0.3 * np.random.default_rng(2).standard_normal(200)
    results = quiet(TWO, np.column_stack([x, 2 * x]), y)
    alone = quiet(TWO, x, y)
    np.testing.assert_allclose(results.predict([[1.0, 2.0]]), alone.predict([[1.0]]), rtol=1e-9)
    with pytest.warns(RankDeficientWarning, match="1 of 2 rows of X break the relation x2 = 2 x1 .* is row 1"):
        results.predict([[1.0, 2.0], [1.0, 5.0]])


# ------------------------------------------------------------------------------------ separation of classes
@pytest.mark.parametrize("seed", [427605906, 269256657, 373683345, 880415616])
def test_a_mixture_of_classifiers_that_separates_is_named(seed):
    """Curvature along the way to infinity is rounding of either sign; these ended as saddle points."""
    rng = np.random.default_rng(seed)
    n, d, K, C = (int(rng.choice(values)) for values in ([15, 30, 60, 120], [1, 2], [1, 2, 2], [2, 3]))
    X = rng.normal(size=(n, d))
    X = np.round(X) if rng.random() < 0.4 else X
    B = rng.normal(size=(C, d + 1)) * 2
    y = (X @ B[:, 1:].T + B[:, 0] + rng.gumbel(size=(n, C))).argmax(1)
    y = np.where(X[:, 0] < 0, 0, y) if rng.random() < 0.3 else y
    weight = np.ones(n) if rng.random() < 0.6 else rng.choice([0.5, 1, 3], size=n)
    model = ms.MixtureOfExperts(n_experts=K, expert="multinomial")
    fit = told(model, X, y, sample_weight=weight, n_starts=8)
    assert fit.results.certificate.status is ms.Status.RUNAWAY
    assert fit.warned(SeparationWarning)
    assert fit.results.certificate.optimum.limit >= fit.results.llf


# ------------------------------------------------------------------------------------ small print
def test_rows_that_differ_in_the_last_digits_are_distinct():
    x = np.r_[1e9, np.arange(5) * 1e-3]
    assert np.isfinite(quiet(THREE, x, [0, 1, 1, 1, 1, 1]).llf)


def test_an_unknown_rule_is_refused_with_the_list():
    for solver in (ms.solvers.EM, ms.solvers.SQUAREM, ms.solvers.ClassificationEM, ms.solvers.TrustRegionNewton):
        with pytest.raises(InputError, match=f"{solver.__name__} has no rule or setting 'tol'; name one of max_iter"):
            solver(tol=1e-3)


def test_what_stopped_classification_em_is_said_of_its_own_objective():
    results = quiet(TWO, *two_rows_far_off(), n_starts=2, solver="classification_em")
    assert "(of the classification log-likelihood)" in str(results.certificate)
