"""Figures of a fit: what they show, and that it can be read."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from time import process_time

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import moestat as ms
from moestat.errors import InputError
from moestat.plotting import plot_class, plot_experts, plot_fit, plot_gate, plot_summary
from moestat.plotting.panel import verdict
from tests.conformance.sketches import Background
from tests.unit.fitted import CASES, NUMERICAL, fit, fitted, no_columns, rows_of, two_lines
from tests.unit.plotting.artists import (
    bare,
    collections,
    curves,
    formula,
    in_order,
    points,
    reloaded,
    texts,
    title,
    voters,
)

every_case = pytest.mark.parametrize("case", list(CASES))
numerical_case = pytest.mark.parametrize("case", NUMERICAL)
CLASSES = ["Democrat", "Independent", "Republican"]


@cache
def figure(case):
    """The figure of a case, drawn once; its axes stay after it is closed."""
    f = fitted(case)
    out = plot_fit(f.results, f.X, f.y, f.Z, title="A title")
    out.draw_without_rendering()
    return out


@cache
def page(case):
    """The summary page of a case, drawn once."""
    out = PAGES[case]().plot(title="A title")
    out.draw_without_rendering()
    return out


# --------------------------------------------------------------------------------------- what is there
@numerical_case
def test_a_regression_has_experts_above_and_the_gate_below(case):
    assert isinstance(figure(case), Figure)
    top, bottom = figure(case).axes
    assert title(top).startswith("Experts")
    assert title(bottom).startswith("Gate weights")
    assert top.get_position().y0 > bottom.get_position().y1


def test_a_classifier_has_a_panel_per_class_above_the_gate():
    *panels, gate = figure("classes").axes
    assert [title(ax) for ax in panels] == [f"party: {label}" for label in CLASSES]
    assert title(gate).startswith("Gate weights")
    assert all(ax.get_position().y0 > gate.get_position().y1 for ax in panels)


def test_axes_carry_the_names_of_the_columns():
    top, bottom = figure("gate").axes
    assert (top.get_xlabel(), top.get_ylabel()) == ("GNP", "CO2")
    assert (bottom.get_xlabel(), bottom.get_ylabel()) == ("GNP", "weight")
    *panels, gate = figure("classes").axes
    assert {ax.get_xlabel() for ax in panels} == {"selfLR"}
    assert gate.get_xlabel() == "income"


def test_curves_along_one_of_several_covariates_say_so():
    top, bottom = figure("three experts").axes
    assert top.get_xlabel() == f"age\n(dose at {fitted('three experts').X['dose'].mean():.3g})"
    assert bottom.get_xlabel() == "severity"


def test_the_title_is_the_callers():
    assert figure("gate").get_suptitle() == "A title"


@every_case
def test_every_panel_has_one_line_per_expert(case):
    K = fitted(case).model.n_experts
    constant = not fitted(case).results.schema.gate_features
    panels = figure(case).axes[: -1 if constant else None]
    assert {len(curves(ax)) for ax in panels} == {K}


@every_case
def test_the_legend_names_the_experts(case):
    legend = figure(case).axes[0].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [f"expert {k + 1}" for k in range(fitted(case).model.n_experts)]


def test_the_caption_explains_dots_and_open_marks():
    caption = figure("classes").get_supxlabel()
    assert caption.startswith("Dots: the rows")
    assert "Open marks: observed share of the class" in caption


# --------------------------------------------------------------------------------------- what is drawn
def test_curves_are_the_means_of_the_experts():
    f = fitted("gate")
    for k, line in enumerate(curves(figure("gate").axes[0])):
        x, y = line.get_data()
        np.testing.assert_allclose(y, f.results.expert_means(x[:, None])[:, k])


def test_other_covariates_stay_at_their_means():
    f = fitted("three experts")
    for k, line in enumerate(curves(figure("three experts").axes[0])):
        x, y = line.get_data()
        rows = np.column_stack([x, np.full(x.size, f.X["dose"].mean())])
        np.testing.assert_allclose(y, f.results.expert_means(rows, np.zeros((x.size, 1)))[:, k])


@pytest.mark.parametrize("case", ["gate", "three experts", "mixed", "classes"])
def test_curves_of_the_gate_are_its_weights(case):
    f = fitted(case)
    for k, line in enumerate(curves(figure(case).axes[-1])):
        x, y = line.get_data()
        weights = f.results.gate_weights(Z=x[:, None]) if f.Z is not None else f.results.gate_weights(x[:, None])
        np.testing.assert_allclose(y, weights[:, k])


def test_a_constant_gate_is_drawn_as_bars():
    f = fitted("constant gate")
    bars = figure("constant gate").axes[-1].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], f.results.gate_weights()[0])


@pytest.mark.parametrize("c", range(3))
def test_curves_of_a_class_are_its_probabilities(c):
    f = fitted("classes")
    for k, line in enumerate(curves(figure("classes").axes[c])):
        x, y = line.get_data()
        means = f.results.expert_means(x[:, None], np.zeros((x.size, 1)))
        np.testing.assert_allclose(y, means[:, k, c])


@numerical_case
def test_points_are_the_rows(case):
    f = fitted(case)
    shown = points(figure(case).axes[0])
    np.testing.assert_allclose(in_order(shown), in_order(np.column_stack([f.X.iloc[:, 0], f.y])))


def test_points_mix_the_colours_of_their_experts():
    f = fitted("three experts")
    base = np.array([to_rgb(line.get_color()) for line in curves(figure("three experts").axes[0])])
    ax = figure("three experts").axes[0]
    shown = np.vstack([c.get_facecolor()[:, :3] for c in collections(ax, "rows")])
    expected = f.results.responsibilities() @ base
    order = np.lexsort(np.column_stack([f.X.iloc[:, 0], f.y]).T)
    np.testing.assert_allclose(shown[np.lexsort(points(ax).T)], expected[order], atol=1e-12)


@pytest.mark.parametrize("case", ["gate", "common variance", "mixed"])
def test_bands_are_two_standard_deviations_wide(case):
    f = fitted(case)
    expert = f.results.params.expert
    members = getattr(expert, "members", [expert])
    variances = np.hstack([getattr(m, "variances", getattr(m, "variance", None)) for m in members])
    bands = [c.get_paths()[0].vertices for c in collections(figure(case).axes[0], "spread")]
    assert len(bands) == f.model.n_experts
    for band, variance in zip(bands, np.broadcast_to(variances, len(bands)), strict=True):
        at = band[band[:, 0] == band[:, 0].min(), 1]
        assert np.ptp(at) == pytest.approx(4 * np.sqrt(variance))


def test_without_a_variance_no_spread_is_drawn(monkeypatch):
    monkeypatch.setattr("moestat.plotting.scene.Scene.spread", None)
    f = fitted("gate")
    ax = plot_experts(f.results, f.X, f.y)
    assert not collections(ax, "spread")
    assert "sd" not in title(ax)


def test_dots_of_a_class_lie_above_when_in_it():
    f = fitted("classes")
    (rows,) = collections(figure("classes").axes[0], "rows")
    heights = rows.get_offsets()[:, 1]
    assert np.array_equal(heights > 1, f.y == "Democrat")
    assert np.array_equal(heights < 0, f.y != "Democrat")


def test_open_marks_are_observed_shares():
    """Of the rows at one place, those in the class, weighted by responsibility."""
    f = fitted("classes")
    x, resp = f.X["selfLR"].to_numpy(), f.results.responsibilities()
    others = [c for c in figure("classes").axes[2].collections if isinstance(c, PathCollection) and c.get_gid() is None]
    circles = [c.get_offsets()[0] for c in others]
    for k in range(2):
        weight = resp[x == 5.0, k]
        share = weight @ (f.y == "Republican")[x == 5.0] / weight.sum()
        assert any(np.allclose(circle, [5.0, share]) for circle in circles)


# --------------------------------------------------------------------------------------- that it can be read
@every_case
def test_experts_are_told_apart_without_colour(case):
    styles = [line.get_linestyle() for line in curves(figure(case).axes[0])]
    dashes = [str(line._unscaled_dash_pattern) for line in curves(figure(case).axes[0])]
    assert len(set(zip(styles, dashes, strict=True))) == fitted(case).model.n_experts


@every_case
def test_one_expert_has_one_look_in_all_panels(case):
    looks = [[line.get_color() for line in curves(ax)] for ax in figure(case).axes if curves(ax)]
    assert all(look == looks[0] for look in looks)


@every_case
def test_no_text_is_cut_off(case):
    page = figure(case).bbox
    for text, box in texts(figure(case)):
        assert (box.min >= page.min).all(), text
        assert (box.max <= page.max).all(), text


@every_case
def test_no_text_lies_on_another(case):
    for (a, here), (b, there) in combinations(texts(figure(case)), 2):
        assert not here.overlaps(there), (a, b)


@every_case
def test_the_legend_hides_no_point(case):
    ax = figure(case).axes[0]
    box = ax.get_legend().get_window_extent()
    marks = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    at = ax.transData.transform(np.concatenate(marks))
    assert len(at) >= len(fitted(case).y)
    assert not ((at > box.min).all(axis=1) & (at < box.max).all(axis=1)).any()


@numerical_case
def test_the_vertical_range_follows_the_rows(case):
    """A line that leaves the rows does not squeeze them."""
    y = fitted(case).y
    low, high = figure(case).axes[0].get_ylim()
    assert low < y.min()
    assert y.max() < high
    assert np.ptp(y) > 0.75 * (high - low)


# --------------------------------------------------------------------------------------- manners
def test_settings_of_matplotlib_stay_as_they_are():
    f = fitted("gate")
    with mpl.rc_context():
        mpl.rcdefaults()
        before = dict(mpl.rcParams)
        plot_fit(f.results, f.X, f.y)
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda f, ax: plot_experts(f.results, f.X, f.y, ax=ax), id="experts"),
        pytest.param(lambda f, ax: plot_gate(f.results, f.X, ax=ax), id="gate"),
    ],
)
def test_axes_go_in_and_come_out(draw):
    _, ax = plt.subplots()
    assert draw(fitted("gate"), ax) is ax
    assert len(curves(ax)) == 2


def test_a_class_can_be_drawn_into_given_axes():
    f = fitted("classes")
    _, ax = plt.subplots()
    assert plot_class(f.results, "Republican", f.X, f.y, f.Z, ax=ax) is ax


def test_arrays_and_tables_give_the_same_figure():
    X, y = rows_of("co2", "X", "y")
    results = fitted("gate").results
    both = ((X, y), (X.to_numpy(), y.to_numpy()))
    by_table, by_array = (plot_experts(results, *rows, ax=plt.figure().gca()) for rows in both)
    for a, b in zip(curves(by_table), curves(by_array), strict=True):
        assert np.array_equal(a.get_data(), b.get_data())


def test_a_model_without_covariates_has_no_curve_to_draw():
    _, y = two_lines()
    results = fit(None, y, n_experts=2).results
    assert [title(ax).partition("\n")[0] for ax in plot_fit(results, None, y).axes] == ["Experts", "Gate weights"]
    with pytest.raises(InputError, match="a figure along a covariate needs one; this model has none"):
        plot_fit(results, None, y, along="x")


def test_a_classifier_has_no_experts_over_numbers():
    f = fitted("classes")
    with pytest.raises(InputError, match="use plot_class for one class of this model"):
        plot_experts(f.results, f.X, f.y, f.Z)


def test_an_unknown_class_is_refused():
    f = fitted("classes")
    with pytest.raises(InputError, match=r"label must be one of the classes .*; got 'Whig'"):
        plot_class(f.results, "Whig", f.X, f.y, f.Z)


def test_numbers_have_no_classes():
    with pytest.raises(InputError, match="this fit has no classes, its response is a number: use plot_experts"):
        plot_class(fitted("gate").results, 1)


def test_families_side_by_side_are_drawn_like_others():
    X, y = two_lines()
    results = fit(X, y, no_columns(len(y)), n_experts=2, expert=("gaussian", Background())).results
    ax = plot_experts(results, X, y, no_columns(len(y)))
    assert len(curves(ax)) == 2
    assert "sd" in title(ax)


# --------------------------------------------------------------------------------------- the page
PAGES = {
    "formula": formula,
    "classes": voters,
    "nothing": bare,
    "one expert": lambda: fitted("one expert").results,
    "arrays": lambda: fitted("three experts").results,
    "one classifier": lambda: fitted("one classifier").results,
    "no covariates, classes": lambda: quiet_voters(),
}
every_page = pytest.mark.parametrize("case", list(PAGES))


@cache
def quiet_voters():
    """Classes without covariates: no mixture of them is identified."""
    with pytest.warns(ms.NotIdentifiedWarning):
        return voters("party ~ 1 | 1")


@pytest.mark.parametrize("case", ["formula", "nothing", "one expert"])
def test_a_page_shows_all_there_is_to_see(case):
    names = [title(ax).partition("\n")[0] for ax in page(case).axes]
    assert names[0] == "Experts"
    assert names[1] in ("Conditional density", "Density")
    assert names[2:] == ["Responsibilities", "Gate weights", "Starts", "The way to the maximum"]
    assert page(case).get_size_inches().tolist() == [12, 8]


def test_a_page_of_classes_begins_with_them():
    names = [title(ax).partition("\n")[0] for ax in page("classes").axes]
    assert names[:3] == [f"party: {label}" for label in CLASSES]
    assert names[4:] == ["Responsibilities", "Gate weights", "Starts", "The way to the maximum"]


@every_page
def test_a_page_begins_with_the_verdict_and_the_numbers(case):
    results = PAGES[case]()
    given, *lines = page(case).get_suptitle().splitlines()
    assert given == "A title"
    assert lines == verdict(results)
    assert lines[0] == str(results.certificate).splitlines()[0]
    assert f"log-likelihood {results.llf:.8g}, BIC {results.bic:.7g}" in lines[-1]


@every_page
def test_no_text_of_a_page_is_cut_off(case):
    bounds = page(case).bbox
    for text, box in texts(page(case)):
        assert (box.min >= bounds.min).all(), text
        assert (box.max <= bounds.max).all(), text


@every_page
def test_no_text_of_a_page_lies_on_another(case):
    for (a, here), (b, there) in combinations(texts(page(case)), 2):
        assert not here.overlaps(there), (a, b)


@every_page
def test_a_page_has_one_legend_of_the_experts(case):
    (legend,) = page(case).legends
    K = PAGES[case]().model.n_experts
    assert [text.get_text() for text in legend.get_texts()] == [f"expert {k + 1}" for k in range(K)]
    expert_legends = [
        ax for ax in page(case).axes if (own := ax.get_legend()) and own.get_texts()[0].get_text() == "expert 1"
    ]
    assert not expert_legends


def test_supremum_elsewhere_is_part_of_the_verdict(monkeypatch):
    monkeypatch.setattr(
        "moestat.certificate.optimum.Certificate.__str__",
        lambda self: "Verdict: a strict one.\n  But 3 starts went higher, to no finite maximum; see below.\n  more",
    )
    assert verdict(bare())[:2] == ["Verdict: a strict one.", "But 3 starts went higher, to no finite maximum."]


def test_a_loaded_fit_draws_what_needs_no_rows(tmp_path):
    results = reloaded(formula(), tmp_path)
    drawn = results.plot()
    drawn.draw_without_rendering()
    experts, density, empty, *_ = drawn.axes
    assert not collections(experts, "rows")
    assert len(curves(experts)) == 3
    assert "A loaded fit holds" in empty.texts[0].get_text()
    before = page("formula").axes[0]
    for a, b in zip(curves(experts), curves(before), strict=True):
        np.testing.assert_allclose(a.get_data(), b.get_data(), rtol=1e-12)
    np.testing.assert_allclose(density.lines[0].get_data(), page("formula").axes[1].lines[0].get_data(), rtol=1e-12)


def test_the_covariate_of_a_page_can_be_chosen():
    drawn = formula().plot(along="z2")
    labels = [ax.get_xlabel().partition("\n")[0] for ax in drawn.axes[:4]]
    assert labels == ["z2", "z2", "rows, sorted by their likeliest expert", "z2"]
    drawn = formula().plot(along="x")  # which the gate does not have
    assert [drawn.axes[i].get_xlabel().partition("\n")[0] for i in (0, 3)] == ["x", "z1"]
    with pytest.raises(InputError, match="along must be one of"):
        formula().plot(along="w")


def test_of_many_classes_the_most_frequent_are_shown():
    rng = np.random.default_rng(0)
    counts = [60, 10, 50, 40, 12, 30]
    y = np.repeat(list("abcdef"), counts)
    X = rng.normal(size=(y.size, 1))
    results = ms.fit(ms.MixtureOfExperts(n_experts=1, expert="multinomial"), X, y, n_starts=1)
    drawn = plot_summary(results)
    assert [title(ax) for ax in drawn.axes[:4]] == ["y: a", "y: c", "y: d", "y: f"]


def test_twenty_thousand_rows_are_drawn_fast_and_thinned():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 20_000)
    left = rng.random(x.size) < 1 / (1 + np.exp(8 * x))
    y = np.where(left, 2 + 3 * x, -1 - 2 * x) + rng.normal(0, 0.3, x.size)
    results = ms.moe("y ~ x", pd.DataFrame({"x": x, "y": y})).fit(n_starts=1)
    start = process_time()  # of this process: the machine may be busy
    drawn = results.plot()
    drawn.canvas.draw()
    assert process_time() - start < 3.0
    assert len(points(drawn.axes[0])) == 3000
    assert "3,000 of 20,000 rows drawn" in title(drawn.axes[0]).replace("\n", " ")
