"""Responsibilities as a strip."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.plotting import plot_responsibilities
from moestat.plotting.responsibilities import COLUMNS, sorted_rows
from tests.unit.fitted import fitted
from tests.unit.plotting.artists import formula, planes, reloaded, title


def area(collection):
    """Area of a filled region, by its outline."""
    x, y = collection.get_paths()[0].vertices.T
    return 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


@pytest.mark.parametrize("case", ["gate", "three experts", "classes", "one expert"])
def test_areas_are_the_masses_of_the_experts(case):
    results = fitted(case).results
    ax = plot_responsibilities(results)
    areas = [area(c) for c in ax.collections]
    np.testing.assert_allclose(areas, results.responsibilities().sum(axis=0), rtol=1e-9)


def test_of_many_rows_columns_are_means():
    data = planes()
    many = data.loc[np.tile(data.index, 10)].reset_index(drop=True)
    ax = plot_responsibilities(formula(), many)
    areas = [area(c) for c in ax.collections]
    np.testing.assert_allclose(areas, 10 * formula().responsibilities().sum(axis=0), rtol=1e-9)
    assert len(np.unique(ax.collections[0].get_paths()[0].vertices[:, 0])) <= COLUMNS + 2


def test_rows_of_weight_two_are_twice_as_wide():
    data = planes().assign(w=2.0)
    ax = plot_responsibilities(ms.moe("y ~ x", data, weights="w").fit(n_starts=3))
    assert ax.get_xlim() == (0, 2 * len(data))


def test_rows_are_sorted_by_likeliest_expert_and_then_by_neighbour():
    resp = np.array(
        [[0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.0, 0.6, 0.4], [1.0, 0.0, 0.0], [0.3, 0.7, 0.0], [0, 0.1, 0.9]]
    )
    assert sorted_rows(resp).tolist() == [3, 1, 4, 0, 2, 5]


def test_the_title_says_the_entropy():
    results = formula()
    share = results.entropy / (results.nobs * np.log(3))
    assert f"entropy {results.entropy:.3g} nats, {share:.0%} of the largest" in title(plot_responsibilities(results))
    assert "one expert has all rows" in title(plot_responsibilities(fitted("one expert").results))


def test_experts_are_numbered_where_they_are():
    ax = plot_responsibilities(formula())
    assert [text.get_text() for text in ax.texts] == ["1", "2", "3"]
    places = [text.get_position()[0] for text in ax.texts]
    assert places == sorted(places)


def test_a_loaded_fit_needs_rows(tmp_path):
    results = reloaded(formula(), tmp_path)
    with pytest.raises(ms.InputError, match="plot_responsibilities needs rows: pass X and y"):
        plot_responsibilities(results)
    assert len(plot_responsibilities(results, planes()).collections) == 3


def test_rows_of_one_expert_have_no_entropy_and_no_sign():
    x = np.linspace(-1.0, 1.0, 30)[:, None]
    y = np.where(x[:, 0] > 0, 3.0, -3.0) + 0.1 * np.sin(40.0 * x[:, 0])
    results = ms.fit(ms.MixtureOfExperts(gate="topk(n_active=1)", n_experts=2), x, y, n_starts=2)
    assert title(plot_responsibilities(results)).endswith("entropy 0 nats, 0% of the largest")
