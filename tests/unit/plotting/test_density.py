"""Conditional densities: regions of highest density, stacked classes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.contour import QuadContourSet
from scipy.stats import norm

import moestat as ms
from moestat.plotting import plot_density
from moestat.plotting.density import SHARES, mass_above
from tests.unit.fitted import fit, fitted, two_lines
from tests.unit.plotting.artists import bare, formula, planes, points, title, voters


def ribbons(ax):
    return next(c for c in ax.collections if isinstance(c, QuadContourSet))


def test_the_mass_above_a_normal_density_is_that_of_an_interval():
    y = np.linspace(-8, 8, 4001)
    share = mass_above(y[None], norm.pdf(y)[None])[0]
    np.testing.assert_allclose(share, 2 * norm.cdf(np.abs(y)) - 1, atol=2e-3)  # of one step of the grid


def test_the_mass_above_does_not_depend_on_the_grid():
    """Points may be crowded, even repeated."""
    y = np.sort(np.r_[np.linspace(-8, 8, 2001), np.linspace(-1, 0, 3000), np.zeros(50)])
    share = mass_above(y[None], norm.pdf(y)[None])[0]
    np.testing.assert_allclose(share, 2 * norm.cdf(np.abs(y)) - 1, atol=5e-3)


def test_two_modes_leave_a_gap():
    y = np.linspace(-10, 10, 2001)
    share = mass_above(y[None], 0.5 * (norm.pdf(y, -5) + norm.pdf(y, 5))[None])[0]
    assert share[np.abs(y) < 1].min() > 0.999
    np.testing.assert_allclose(
        share[np.abs(y) > 3], (2 * norm.cdf(np.abs(np.abs(y) - 5)) - 1)[np.abs(y) > 3], atol=5e-3
    )


@pytest.mark.parametrize("case", ["gate", "one expert"])
def test_ribbons_hold_what_they_say(case):
    """The share of draws that fall into the ribbons is theirs; of 4000 draws it is known to 2 %."""
    results = fitted(case).results
    ax = plot_density(results)
    drawn = ribbons(ax)
    x = float(np.quantile(ax.lines[0].get_xdata(), 0.6))
    other = fitted(case).X.iloc[:, 1:].mean().to_numpy()
    rows = np.column_stack([np.full(4000, x), np.tile(other, (4000, 1))])
    draws = results.sample(rows, seed=1)
    inside = 0.0
    for path, share in zip(drawn.get_paths(), SHARES, strict=True):
        inside += path.contains_points(np.column_stack([np.full(4000, x), draws])).mean()
        assert inside == pytest.approx(share, abs=0.025)


def test_the_line_is_the_mean_of_the_mixture():
    ax = plot_density(formula(), along="z1")
    x, y = ax.lines[0].get_data()
    at = planes().head(1).loc[[0] * x.size].assign(x=planes()["x"].mean(), g="b", z2=planes()["z2"].mean(), z1=x)
    np.testing.assert_allclose(y, formula().predict(at))
    assert ax.get_xlabel() == "z1\n(3 other covariates at typical values)"


def test_levels_have_bars():
    ax = plot_density(formula(), along="g")
    assert len([c for c in ax.collections if isinstance(c, QuadContourSet)]) == 3
    assert len(points(ax)) == len(planes())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]


def test_an_expert_far_away_without_weight_does_not_squeeze_the_page():
    results = formula("y ~ x + g | z1 + z2")
    low, high = plot_density(results).get_ylim()
    assert np.ptp(planes()["y"]) > 0.5 * (high - low)


def test_without_a_variance_the_range_is_that_of_the_rows(monkeypatch):
    X, y = two_lines()
    results = fit(X, y, n_experts=1).results
    monkeypatch.setattr("moestat.plotting.scene.Scene.spread", None)
    vertices = np.vstack([path.vertices for path in ribbons(plot_density(results)).get_paths()])
    assert y.min() - 0.11 * np.ptp(y) < vertices[:, 1].min()
    assert vertices[:, 1].max() < y.max() + 0.11 * np.ptp(y)


def test_without_covariates_regions_lie_beneath_the_density():
    ax = plot_density(bare())
    (curve, mean) = (line for line in ax.lines if line.get_marker() != "|")
    assert mean.get_xdata()[0] == pytest.approx(bare().predict()[0])
    assert curve.get_ydata().max() < ax.get_ylim()[1]
    assert title(ax).startswith("Density")


# --------------------------------------------------------------------------------------- classes
def test_areas_are_the_probabilities_of_the_classes():
    ax = plot_density(voters())
    areas = [c for c in ax.collections if c.get_hatch() is not None or c.get_facecolor().size]
    x = np.unique(areas[0].get_paths()[0].vertices[:, 0])
    income = ms.datasets.load("anes96").frame["income"].mean()
    expected = np.cumsum(voters().predict({"selfLR": x, "income": np.full(x.size, income)}), axis=1)
    for c, area in enumerate(areas):
        vertices = area.get_paths()[0].vertices
        top = [vertices[vertices[:, 0] == place, 1].max() for place in x]
        np.testing.assert_allclose(top, expected[:, c], atol=1e-12)


def test_every_class_is_named_in_its_area():
    ax = plot_density(voters())
    assert [text.get_text() for text in ax.texts] == list(voters().schema.classes)
    income = ms.datasets.load("anes96").frame["income"].mean()
    for c, text in enumerate(ax.texts):
        x, height = text.get_position()
        top = np.cumsum(voters().predict({"selfLR": [x], "income": [income]})[0])
        assert top[c] - height == pytest.approx(height - (top[c - 1] if c else 0.0))


def test_classes_without_covariates_are_one_bar():
    results = ms.moe("party ~ 1 | 1", ms.datasets.load("anes96").frame, expert="multinomial", n_experts=1).fit()
    ax = plot_density(results)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], results.predict()[0])


def test_classes_along_a_category_are_bars():
    data = ms.datasets.load("anes96").frame.assign(rich=lambda d: np.where(d["income"] > 18, "yes", "no"))
    results = ms.moe("party ~ rich", data, expert="multinomial", n_experts=1).fit()
    ax = plot_density(results)
    assert len(ax.patches) == 6
    np.testing.assert_allclose(ax.patches[1].get_height(), results.predict({"rich": ["yes"]})[0, 0])


def test_axes_that_are_given_come_back():
    _, ax = plt.subplots()
    assert plot_density(formula(), ax=ax) is ax
