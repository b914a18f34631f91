"""Pictures of counts: curves stand at one exposure, and points are brought there."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import moestat as ms
from moestat.experts import Gaussian, Known
from moestat.plotting import plot_density, plot_experts
from moestat.plotting.density import mass_above
from moestat.plotting.rows import scene_of

RNG = np.random.default_rng(5)
N = 240
X = RNG.uniform(0.0, 2.0, N)
TRIALS = RNG.integers(2, 9, N).astype(float)
FIRST = RNG.random(N) < 1 / (1 + np.exp(4 * X - 4))
RATES = np.exp(np.where(FIRST, 1.5 - X, X - 1.0))


def poisson(**terms):
    return ms.fit(ms.MixtureOfExperts(expert="poisson", n_experts=1), X, RNG.poisson(RATES * TRIALS), **terms)


@pytest.mark.parametrize(
    ("expert", "y", "exposure"),
    [
        ("poisson", RNG.poisson(RATES * TRIALS), TRIALS),
        ("poisson", RNG.poisson(RATES), None),
        ("binomial", RNG.binomial(TRIALS.astype(int), np.where(FIRST, 0.2, 0.8)), TRIALS),
        ("gamma", RNG.gamma(4.0, RATES), None),
        (
            (Gaussian(), Known("laplace", 0.0, 3.0)),
            np.where(FIRST, X + 0.3 * RNG.standard_normal(N), RNG.laplace(0.0, 3.0, N)),
            None,
        ),
        (("poisson", "zero"), RNG.poisson(2 * RATES * FIRST), None),
    ],
    ids=["rates", "counts", "successes", "gamma", "known", "zeros"],
)
def test_every_family_has_its_page(expert, y, exposure):
    results = ms.fit(ms.MixtureOfExperts(expert=expert, n_experts=2), X, y, exposure=exposure, n_starts=1)
    results.plot().savefig(io.BytesIO())
    plt.close("all")


def test_curves_stand_at_the_median_exposure():
    scene = scene_of(poisson(exposure=TRIALS))
    assert scene.terms == {"offset": 0.0, "exposure": np.sort(TRIALS)[(N - 1) // 2]}
    assert "exposure at" in scene.held((), "x")


def test_counts_are_brought_to_the_exposure_of_the_curves():
    scene = scene_of(poisson(exposure=TRIALS))
    np.testing.assert_allclose(scene.level_responses, scene.y * scene.terms["exposure"] / TRIALS, rtol=1e-12)


def test_an_offset_of_a_log_link_multiplies():
    scene = scene_of(poisson(offset=np.log(TRIALS)))
    there = np.exp(scene.terms["offset"]) / TRIALS
    np.testing.assert_allclose(scene.level_responses, scene.y * there, rtol=1e-12)


def test_exposures_of_a_formula_are_read_from_its_table():
    table = pd.DataFrame({"y": RNG.poisson(RATES * TRIALS), "x": X, "t": TRIALS})
    results = ms.moe("y ~ x", table, expert="poisson", exposure="t", n_experts=1).fit()
    for scene in (scene_of(results), scene_of(results, table)):
        np.testing.assert_array_equal(scene.known.exposure, TRIALS)
    with pytest.raises(ms.InputError, match="t"):
        plot_experts(results, table.drop(columns="t"))


def test_exposures_of_a_fit_are_needed_for_other_rows():
    results = poisson(exposure=TRIALS)
    with pytest.raises(ms.InputError, match="exposure is needed: the model was fitted with exposures"):
        plot_density(results, X, TRIALS)
    with pytest.raises(ms.InputError, match="exposure goes with rows"):
        plot_density(results, exposure=2.0)
    scene = scene_of(results, X, TRIALS, exposure=TRIALS)
    np.testing.assert_allclose(scene.level_responses, scene.terms["exposure"])


def test_regions_of_counts_hold_whole_numbers():
    # the first and the last count have their whole probability: 0.5, 0.3, 0.2
    share = mass_above(np.array([[0.0, 1.0, 2.0]]), np.array([[0.5, 0.3, 0.2]]), discrete=True)
    np.testing.assert_allclose(share, [[0.0, 0.5, 0.8]])


@pytest.mark.parametrize("expert", ["gaussian", "gaussian(form='tanh')"])
def test_an_offset_of_a_normal_law_shifts(expert):
    y = np.tanh(X - 1) + TRIALS + 0.1 * RNG.standard_normal(N)
    scene = scene_of(ms.fit(ms.MixtureOfExperts(expert=expert, n_experts=1), X, y, offset=TRIALS))
    np.testing.assert_allclose(scene.level_responses, y - TRIALS + TRIALS.mean(), rtol=1e-10)
