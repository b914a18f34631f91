"""The experts' means: bands, spreads, levels, known terms, no covariates."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import moestat as ms
from moestat.plotting import plot_experts
from tests.unit.fitted import fitted
from tests.unit.plotting.artists import (
    bare,
    collections,
    curves,
    edges,
    formula,
    in_order,
    planes,
    points,
    reloaded,
    title,
)


def test_bands_are_confidence_limits_of_the_means():
    results = formula()
    ax = plot_experts(results, along="x")
    rows = planes().head(1).assign(g="b", z1=0.0, z2=0.0)
    for k, (band, line) in enumerate(zip(collections(ax, "band"), curves(ax), strict=True)):
        places, low, high = edges(band)
        at = rows.loc[[0] * len(places)].assign(x=places)
        estimated = results.get_expert_means(at)
        lower, upper = estimated.limits(0.05)
        np.testing.assert_allclose([low, high], [lower[:, k], upper[:, k]], rtol=1e-9)
        np.testing.assert_allclose(line.get_ydata(), estimated.value[:, k], rtol=1e-9)


def test_bands_are_narrower_than_the_spread_and_darker():
    ax = plot_experts(fitted("gate").results)
    for band, spread in zip(collections(ax, "band"), collections(ax, "spread"), strict=True):
        assert band.get_alpha() > 2 * spread.get_alpha()
        middle = len(edges(band)[0]) // 2
        assert np.ptp([e[middle] for e in edges(band)[1:]]) < np.ptp([e[middle] for e in edges(spread)[1:]])


def test_without_a_covariance_the_title_says_so():
    x = np.linspace(0, 1, 50)
    with pytest.warns(ms.MoestatWarning):
        results = ms.fit(ms.MixtureOfExperts(n_experts=1), np.column_stack([x, 2 * x]), np.sin(5 * x), n_starts=1)
    ax = plot_experts(results)
    assert not collections(ax, "band")
    assert "no bands of the mean: not identified" in title(ax).replace("\n", " ")


def test_points_and_curves_stand_at_the_mean_offset():
    data = planes().assign(t=np.linspace(2, 4, len(planes())))
    ax = plot_experts(ms.moe("y ~ x", data, offset="t", n_experts=1).fit())
    shown = np.column_stack([data["x"], data["y"] - data["t"] + data["t"].mean()])
    np.testing.assert_allclose(in_order(points(ax)), in_order(shown), rtol=1e-9)
    assert ax.get_xlabel() == "x\n(offset at 3)"


def test_markers_say_the_likeliest_expert():
    ax = plot_experts(formula())
    sizes = [len(c.get_offsets()) for c in collections(ax, "rows")]
    assert sizes == np.bincount(formula().responsibilities().argmax(axis=1)).tolist()
    assert len({str(c.get_paths()[0].vertices) for c in collections(ax, "rows")}) == 3


def test_levels_of_a_category_have_marks_with_error_bars():
    ax = plot_experts(formula(), along="g")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    at = formula().get_expert_means(planes().head(3).assign(x=planes()["x"].mean(), g=["a", "b", "c"], z1=0.0, z2=0.0))
    assert len(ax.containers) == 3
    for k, (marks, caps, _) in enumerate(ax.containers):
        np.testing.assert_allclose(marks.get_ydata(), at.value[:, k])
        np.testing.assert_allclose(caps[0].get_ydata(), at.limits()[0][:, k])
    first, second = (container[0].get_xdata() for container in ax.containers[:2])
    assert (first != second).all()  # side by side


def test_an_expert_without_covariates_runs_along_the_gate_s():
    results = formula("y ~ 1 | z1")
    ax = plot_experts(results)
    assert ax.get_xlabel() == "z1"
    assert all(np.ptp(line.get_ydata()) == 0 for line in curves(ax))


def test_without_covariates_the_experts_are_densities_over_a_histogram():
    results = bare()
    ax = plot_experts(results)
    mixture, *each = curves(ax)
    y = mixture.get_xdata()
    np.testing.assert_allclose(sum(line.get_ydata() for line in each), mixture.get_ydata())
    np.testing.assert_allclose(mixture.get_ydata(), results.density(np.empty((y.size, 0)), y))
    weights = results.gate_weights()[0]
    for k, line in enumerate(each):
        area = np.trapezoid(line.get_ydata(), y)
        assert area == pytest.approx(weights[k], abs=0.01)  # the page ends a tenth beyond the rows
    assert sum(bar.get_height() * bar.get_width() for bar in ax.patches) == pytest.approx(1.0)


def test_a_loaded_fit_without_covariates_draws_its_densities(tmp_path):
    mixture, *_ = curves(plot_experts(reloaded(bare(), tmp_path)))
    y, density = mixture.get_data()
    assert np.trapezoid(density, y) == pytest.approx(1.0, abs=0.01)


def test_other_rows_can_be_shown():
    ax = plot_experts(formula(), planes().head(12))
    assert len(points(ax)) == 12


def test_axes_that_are_given_come_back():
    _, axes = plt.subplots(1, 2)
    assert plot_experts(formula(), ax=axes[0]) is axes[0]
    assert not axes[1].lines
