"""Figures of a fit: what they show, and that it can be read."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from moestat import plotting
from moestat.errors import InputError
from moestat.plotting import plot_class, plot_experts, plot_fit, plot_gate, plot_starts
from tests.conformance.sketches import Background
from tests.unit.fitted import CASES, NUMERICAL, fit, fitted, no_columns, rows_of, two_lines

every_case = pytest.mark.parametrize("case", list(CASES))
numerical_case = pytest.mark.parametrize("case", NUMERICAL)
CLASSES = ["Democrat", "Independent", "Republican"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@cache
def figure(case):
    """The figure of a case, drawn once; its axes stay after it is closed."""
    f = fitted(case)
    out = plot_fit(f.results, f.X, f.y, f.Z, title="A title")
    out.draw_without_rendering()
    return out


def curves(ax):
    """Lines of the experts: those with a label of their own."""
    return [line for line in ax.lines if not line.get_label().startswith("_")]


def points(ax):
    """The first scatter: the rows."""
    return ax.collections[0]


def title(ax):
    return ax.get_title(loc="left")


# --------------------------------------------------------------------------------------- what is there
@numerical_case
def test_a_regression_has_experts_above_and_the_gate_below(case):
    assert isinstance(figure(case), Figure)
    top, bottom = figure(case).axes
    assert title(top).startswith("Experts")
    assert title(bottom) == "Gate weights"
    assert top.get_position().y0 > bottom.get_position().y1


def test_a_classifier_has_a_panel_per_class_above_the_gate():
    *panels, gate = figure("classes").axes
    assert [title(ax) for ax in panels] == [f"party: {label}" for label in CLASSES]
    assert title(gate) == "Gate weights"
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
    assert top.get_xlabel() == "age\n(curves: other covariates at their means)"
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


def test_the_caption_explains_dots_and_circles():
    caption = figure("classes").get_supxlabel()
    assert caption.startswith("Dots: the rows")
    assert "Circles: observed share of the class" in caption


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
    shown = points(figure(case).axes[0]).get_offsets()
    np.testing.assert_allclose(shown, np.column_stack([f.X.iloc[:, 0], f.y]))


def test_points_mix_the_colours_of_their_experts():
    f = fitted("three experts")
    base = np.array([to_rgb(line.get_color()) for line in curves(figure("three experts").axes[0])])
    shown = points(figure("three experts").axes[0]).get_facecolor()[:, :3]
    np.testing.assert_allclose(shown, f.results.responsibilities() @ base, atol=1e-12)


@pytest.mark.parametrize("case", ["gate", "common variance", "mixed"])
def test_bands_are_two_standard_deviations_wide(case):
    f = fitted(case)
    expert = f.results.params.expert
    members = getattr(expert, "members", [expert])
    variances = np.hstack([getattr(m, "variances", getattr(m, "variance", None)) for m in members])
    bands = [c.get_paths()[0].vertices for c in figure(case).axes[0].collections[1:]]
    for band, variance in zip(bands, np.broadcast_to(variances, len(bands)), strict=True):
        at = band[band[:, 0] == band[:, 0].min(), 1]
        assert np.ptp(at) == pytest.approx(4 * np.sqrt(variance))


def test_without_a_variance_there_is_no_band(monkeypatch):
    monkeypatch.setattr(plotting, "_standard_deviations", lambda results: None)
    f = fitted("gate")
    ax = plot_experts(f.results, f.X, f.y)
    assert len(ax.collections) == 1
    assert "bands" not in title(ax)


def test_dots_of_a_class_lie_above_when_in_it():
    f = fitted("classes")
    heights = points(figure("classes").axes[0]).get_offsets()[:, 1]
    assert np.array_equal(heights > 1, f.y == "Democrat")
    assert np.array_equal(heights < 0, f.y != "Democrat")


def test_circles_are_observed_shares():
    """Of the rows at one place, those in the class, weighted by responsibility."""
    f = fitted("classes")
    x, resp = f.X["selfLR"].to_numpy(), f.results.responsibilities()
    circles = [c.get_offsets()[0] for c in figure("classes").axes[2].collections[1:]]
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


def test_colours_are_told_apart_in_grey_or_by_line_style():
    """Up to six experts every pair has dashes of its own."""
    assert len({str(dash) for dash in plotting.DASHES}) == 6
    assert len(set(plotting.colours(8))) == 8


@every_case
def test_one_expert_has_one_look_in_all_panels(case):
    looks = [[line.get_color() for line in curves(ax)] for ax in figure(case).axes if curves(ax)]
    assert all(look == looks[0] for look in looks)


def texts(fig):
    """Text with its place on the page, as far as it is drawn."""
    beyond = {label for ax in fig.axes for axis in (ax.xaxis, ax.yaxis) for label in _labels_beyond(axis)}
    shown = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in beyond]
    return [(t.get_text(), t.get_window_extent()) for t in shown]


def _labels_beyond(axis):
    """Labels of ticks beyond the range of an axis, which are not drawn."""
    low, high = axis.get_view_interval()
    return [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]


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
    with pytest.raises(InputError, match="a figure along a covariate needs one; this model has none"):
        plot_fit(results, None, y)


def test_a_classifier_has_no_experts_over_numbers():
    f = fitted("classes")
    with pytest.raises(InputError, match="use plot_class for one class of this model"):
        plot_experts(f.results, f.X, f.y, f.Z)


@pytest.mark.parametrize("case", ["classes", "gate"])
def test_an_unknown_class_is_refused(case):
    f = fitted(case)
    with pytest.raises(InputError, match=r"label must be one of the classes .*; got 'Whig'"):
        plot_class(f.results, "Whig", f.X, f.y, f.Z)


def test_families_side_by_side_are_drawn_like_others():
    X, y = two_lines()
    results = fit(X, y, no_columns(len(y)), n_experts=2, expert=("gaussian", Background())).results
    ax = plot_experts(results, X, y, no_columns(len(y)))
    assert len(curves(ax)) == 2
    assert "bands" in title(ax)


# ------------------------------------------------------------------------------------ starts
@cache
def searched():
    """Thirty starts that end at several solutions."""
    import moestat as ms

    data = ms.datasets.load("ethanol")
    return ms.fit(ms.MixtureOfExperts(n_experts=3), data.X, data.y, n_starts=30)


def test_every_start_is_a_mark_in_the_row_of_its_family():
    table = searched().starts
    ax = plot_starts(searched())
    families = [label.get_text().replace(" ", "_") for label in ax.get_yticklabels()]
    marks = np.vstack([collection.get_offsets() for collection in ax.collections])
    assert len(marks) == len(table) == 30
    for i, family in enumerate(families):
        shown = np.sort(marks[np.abs(marks[:, 1] - i) < 0.5, 0])
        np.testing.assert_allclose(shown, np.sort(np.maximum(table.loglik[table.family == family], shown.min())))


def test_the_reported_solution_is_marked_and_counted():
    _, given = plt.subplots()
    ax = plot_starts(searched(), ax=given)
    assert ax is given
    (line,) = ax.lines
    assert line.get_xdata()[0] == searched().llf
    assert ax.get_title(loc="left") == f"{searched().certificate.n_reached} of 30 starts reached the reported solution"


def test_kinds_of_end_points_are_told_apart_by_colour():
    ax = plot_starts(searched())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert set(labels) == set(searched().starts.status)
    assert len({to_rgb(collection.get_facecolor()[0][:3]) for collection in ax.collections}) == len(labels)


def test_one_low_start_does_not_squeeze_the_others():
    """It is drawn at the left edge."""
    assert plotting._lower_edge(np.r_[np.linspace(-10, 0, 20), -1e6], 0.0) > -100
