"""Ticks that can be read: names of levels, and numbers with their power of ten."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.plotting import plot_density, plot_experts, plot_fit, plot_gate, plot_gate_plane
from moestat.plotting.ticks import Numbers, in_two_lines, shortened
from tests.unit.plotting.artists import formula

SEVERAL = {
    "fifteen": tuple(f"level {i}" for i in range(15)),
    "long": tuple("a" * 24 + end for end in "xyz"),
    "sentences": ("strongly agree with what was said", "neither agree nor disagree", "strongly disagree with it"),
    "sixty": tuple(f"number {i}" for i in range(60)),
    "alike but in the middle": tuple("a" * 20 + middle + "a" * 20 for middle in "xyz"),
    "capitals": tuple("W" * 7 + end for end in "ABCDEF"),
}
every_set = pytest.mark.parametrize("case", list(SEVERAL))
POPULATION = "population of the district at the end of the year before, by the census"


@cache
def levelled(case):
    levels = SEVERAL[case]
    rng = np.random.default_rng(2)
    x, g = rng.normal(size=600), rng.permutation(np.resize(levels, 600))
    y = np.where(rng.random(600) < 1 / (1 + np.exp(-3 * x)), 3 + x, -3 - x) + rng.normal(0, 0.4, 600)
    return ms.moe("y ~ g | x", pd.DataFrame({"x": x, "g": g, "y": y})).fit(n_starts=1)


@cache
def peopled():
    rng = np.random.default_rng(4)
    people = rng.uniform(2e5, 1.2e6, 200)
    data = pd.DataFrame({POPULATION: people, "z": rng.normal(size=200), "y": people / 1e6 + rng.normal(0, 0.1, 200)})
    return ms.moe(f"y ~ `{POPULATION}` | `{POPULATION}` + z", data, n_experts=1).fit()


def names_at(ax):
    return [label for label in ax.get_xticklabels() if label.get_text()]


# --------------------------------------------------------------------------------------- levels
@every_set
@pytest.mark.parametrize("draw", [plot_fit, ms.Results.plot], ids=["fit", "page"])
def test_names_of_levels_do_not_cover_each_other(case, draw):
    figure = draw(levelled(case), along="g")
    figure.canvas.draw()
    for ax in figure.axes[: 1 if draw is plot_fit else 2]:
        names = names_at(ax)
        assert len(names) >= 3
        for a, b in combinations([label.get_window_extent() for label in names], 2):
            assert not a.overlaps(b)
        assert len({label.get_text() for label in names}) == len(names)


@pytest.mark.parametrize("case", sorted(set(SEVERAL) - {"sixty"}))
def test_all_of_a_few_levels_are_named(case):
    assert len(names_at(plot_experts(levelled(case), along="g"))) == len(SEVERAL[case])


def test_short_names_stay_as_they_are():
    names = names_at(plot_experts(formula(), along="g"))
    assert [(label.get_text(), label.get_rotation()) for label in names] == [("a", 0.0), ("b", 0.0), ("c", 0.0)]


def test_names_keep_their_ends():
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert in_two_lines("strongly agree", 8) == "strongly\nagree"
    assert in_two_lines("a" * 24 + "x", 9) == "a" * 8 + "…\n" + "a" * 8 + "x"
    assert max(map(len, in_two_lines("one two three four five six", 8).split("\n"))) <= 8


def test_room_beside_levels_is_for_a_legend_that_is_there():
    """A page has one legend for all panels."""
    assert plot_experts(formula(), along="g").get_xlim() == pytest.approx((-0.5, 3.4))
    page = formula().plot(along="g")
    assert page.axes[0].get_xlim() == pytest.approx((-0.5, 2.5))
    assert page.axes[1].get_xlim() == pytest.approx((-0.5, 2.5))


# --------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([0.0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([1990.0, 2000.0], ["1990", "2000"]),
        ([0.0, 5e5, 9e5], ["0", "500000", "900000"]),
        ([0.0, 2.5e6, 5e6], ["0.0", "2.5e6", "5.0e6"]),
        ([2e-7, 4e-7], ["2e-7", "4e-7"]),
    ],
)
def test_numbers_are_written_out_or_with_their_power_of_ten(values, written):
    assert Numbers(max(values)).format_ticks(values) == written


def test_panels_write_the_same_numbers_alike_and_nothing_on_the_name():
    for draw in (plot_experts, plot_density, plot_gate):
        ax = draw(peopled(), ax=None)
        ax.figure.canvas.draw()
        assert ax.xaxis.get_offset_text().get_text() == ""
        assert all(label.get_text().endswith("e6") for label in names_at(ax) if label.get_text().strip("0."))
        ax.figure.clear()
    plane = plot_gate_plane(peopled())
    plane.figure.canvas.draw()
    assert all(label.get_text().endswith("e6") for label in names_at(plane) if label.get_text().strip("0."))


def test_long_names_of_an_axis_are_wrapped():
    page = peopled().plot()
    page.canvas.draw()
    label = page.axes[0].xaxis.label
    assert label.get_text().replace("\n", " ") == POPULATION
    assert label.get_window_extent().width < 1.1 * page.axes[0].bbox.width


@pytest.mark.parametrize(
    ("low", "span"), [(1.7e9, 1e2), (1.7e9, 1e6), (2000.0, 0.01), (2e5, 1e6), (-3e-7, 1e-8), (0.0, 1e12)]
)
def test_long_numbers_do_not_cover_each_other(low, span):
    t = np.linspace(low, low + span, 60)
    data = pd.DataFrame({"t": t, "y": np.sin(np.arange(60.0))})
    with warnings.catch_warnings(action="ignore", category=ms.MoestatWarning):
        page = ms.moe("y ~ t", data, n_experts=1).fit().plot()
    page.canvas.draw()
    for ax in page.axes[:2]:
        left, right = ax.get_xlim()
        shown = [label for label in names_at(ax) if left <= label.get_position()[0] <= right]
        assert shown
        assert len({label.get_text() for label in shown}) == len(shown)
        for a, b in combinations([label.get_window_extent() for label in shown], 2):
            assert not a.overlaps(b)
