"""Gate weights along a covariate."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

import moestat as ms
from moestat.plotting import plot_gate
from tests.unit.plotting.artists import bare, collections, curves, edges, formula, planes, title


def test_bands_are_limits_of_the_weights():
    ax = plot_gate(formula(), along="z2")
    assert ax.get_xlabel() == f"z2\n(z1 at {planes()['z1'].mean():.3g})"
    for k, band in enumerate(collections(ax, "band")):
        places, low, high = edges(band)
        lower, upper = formula().get_gate_weights({"z1": [planes()["z1"].mean()] * len(places), "z2": places}).limits()
        np.testing.assert_allclose([low, high], [lower[:, k], upper[:, k]], rtol=1e-9)


def test_weights_sum_to_one_and_have_a_legend():
    ax = plot_gate(formula())
    np.testing.assert_allclose(sum(line.get_ydata() for line in curves(ax)), 1.0)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["expert 1", "expert 2", "expert 3"]


def test_only_covariates_of_the_gate_are_taken():
    with pytest.raises(ms.InputError, match=r"along must be one of \['z1', 'z2'\], or its position; got 'x'"):
        plot_gate(formula(), along="x")


def test_bars_of_a_constant_gate_have_limits():
    ax = plot_gate(bare())
    weights = bare().get_gate_weights(np.empty((1, 0)))
    (container,) = [c for c in ax.containers if hasattr(c, "has_yerr") and c.has_yerr]
    low, high = weights.limits()
    segments = container[2][0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in segments], np.column_stack([low[0], high[0]]))
    assert title(ax) == "Gate weights\nbars: 95 %"


def test_a_gate_that_separates_has_no_bands():
    x = np.linspace(-1, 1, 60)
    y = np.where(x < 0, x, 3 - x) + np.random.default_rng(0).normal(0, 0.05, 60)
    with pytest.warns(ms.SeparationWarning):
        results = ms.fit(ms.MixtureOfExperts(n_experts=2), x, y, n_starts=4)
    ax = plot_gate(results)
    assert not collections(ax, "band")
    assert title(ax) == "Gate weights\nno bands: not identified"


def test_a_gate_along_a_category_has_marks():
    results = ms.moe("y ~ x | g", planes(), n_experts=2).fit(n_starts=3)
    ax = plot_gate(results)
    weights = results.gate_weights({"g": ["a", "b", "c"]})
    for k, container in enumerate(ax.containers):
        np.testing.assert_allclose(container[0].get_ydata(), weights[:, k])


def test_an_offset_does_not_matter_to_the_gate():
    data = planes().assign(t=np.linspace(2, 4, len(planes())))
    results = ms.moe("y ~ x | z1", data, offset="t").fit(n_starts=3)
    assert plot_gate(results).get_xlabel() == "z1"
    assert plot_gate(results, data.head(9)).get_xlabel() == "z1"
    x, t = data["x"].to_numpy(), data["t"].to_numpy()
    by_arrays = ms.fit(ms.MixtureOfExperts(n_experts=2), x, data["y"], offset=t, n_starts=3)
    assert len(curves(plot_gate(by_arrays, x, ax=plt.figure().gca()))) == 2


def test_rows_are_ticks():
    ticks = [line for line in plot_gate(formula()).lines if line.get_marker() == "|"]
    assert np.array_equal(ticks[0].get_xdata(), planes()["z1"])


def test_a_joint_gate_has_its_page():
    rng = np.random.default_rng(2)
    first = rng.random(150) < 0.5
    x = np.where(first, -1.0, 1.0) + 0.7 * rng.standard_normal(150)
    y = np.where(first, x, 2.0 - x) + 0.2 * rng.standard_normal(150)
    model = ms.MixtureOfExperts(gate="gaussian(likelihood='joint')", n_experts=2)
    results = ms.fit(model, x, y, n_starts=2)
    results.plot().savefig(io.BytesIO())
    plt.close("all")
    np.testing.assert_allclose(sum(line.get_ydata() for line in curves(plot_gate(results))), 1.0)
