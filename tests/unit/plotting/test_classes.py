"""The probability of one class: bands, shares, levels."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.plotting import plot_class
from moestat.plotting.classes import shares
from tests.unit.plotting.artists import collections, curves, edges, title, voters


def test_bands_are_limits_of_the_probabilities():
    ax = plot_class(voters(), "Republican")
    for k, band in enumerate(collections(ax, "band")):
        places, low, high = edges(band)
        at = {"selfLR": places, "income": np.zeros(places.size)}
        lower, upper = voters().get_expert_means(at).limits()
        np.testing.assert_allclose([low, high], [lower[:, k, 2], upper[:, k, 2]], rtol=1e-9)
        assert ((low > 0) & (low < high) & (high < 1)).all()


def test_rows_of_the_fit_are_shown_when_none_are_given():
    (rows,) = collections(plot_class(voters(), "Democrat"), "rows")
    labels = ms.datasets.load("anes96").frame["party"]
    assert np.array_equal(rows.get_offsets()[:, 1] > 1, labels == "Democrat")


def test_a_class_along_the_gate_s_covariate_has_flat_curves():
    ax = plot_class(voters(), "Democrat", along="income")
    assert ax.get_xlabel().startswith("income\n(selfLR at ")
    assert all(np.ptp(line.get_ydata()) == 0 for line in curves(ax))


def test_without_covariates_there_is_a_bar_per_expert():
    results = ms.moe("party ~ 1 | 1", ms.datasets.load("anes96").frame, expert="multinomial", n_experts=1).fit()
    ax = plot_class(results, "Democrat")
    (bar,) = ax.patches
    assert bar.get_height() == pytest.approx((ms.datasets.load("anes96").frame["party"] == "Democrat").mean())
    assert title(ax) == "party: Democrat"


def test_shares_of_few_values_are_exact():
    x = np.array([1.0, 1.0, 1.0, 2.0, 2.0])
    inside = np.array([True, False, True, True, True])
    weight = np.array([1.0, 2.0, 1.0, 1.0, 1.0])
    assert shares(x, inside, weight) == [(1.0, 0.5, 1.0), (2.0, 1.0, 0.5)]


def test_shares_of_many_values_are_those_of_bins():
    x = np.linspace(0, 1, 800)
    found = shares(x, x > 0.5, np.ones(800))
    assert len(found) == 8
    assert [share for _, share, _ in found] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_dots_at_a_level_fill_a_box():
    """Their places sideways and upwards have nothing to do with each other."""
    data = ms.datasets.load("anes96").frame.assign(rich=lambda d: np.where(d["income"] > 18, "yes", "no"))
    results = ms.moe("party ~ rich", data, expert="multinomial", n_experts=1).fit()
    (rows,) = collections(plot_class(results, "Democrat"), "rows")
    x, y = rows.get_offsets().T
    for level in (0, 1):
        here = (np.round(x) == level) & (y > 1)
        assert abs(np.corrcoef(x[here], y[here])[0, 1]) < 4 / np.sqrt(here.sum())  # four standard errors
