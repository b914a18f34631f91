"""Two pictures of every family, pixel by pixel against those that were looked at.

Texts are left out, for fonts differ between machines; starts and traces are written by hand, for their last digits do.
What the texts say, and that they can be read, is tested beside. To draw the pictures anew after a change, look at
each one of them:

    pytest tests/unit/plotting/test_images.py --mpl-generate-path=tests/unit/plotting/images
"""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from moestat.plotting import (
    plot_class,
    plot_density,
    plot_experts,
    plot_fit,
    plot_gate,
    plot_gate_plane,
    plot_responsibilities,
    plot_starts,
    plot_trace,
)
from moestat.solvers import TraceRow
from tests.unit.fitted import fitted
from tests.unit.plotting.artists import bare, formula, several_kinds, voters

#: Root mean square of the grey levels by which a picture may differ; see `test_a_small_change_is_seen`.
TOLERANCE = 4.0

#: Dots per inch: small files, in which a line is still seen.
DPI, PAGE_DPI = 60, 40

#: A way to the maximum: EM, then Newton.
WAY = [("em", -40.0 * 0.6**i, 0.3 * 0.7**i) for i in range(12)] + [("newton", -1e-3, 1e-5), ("newton", 0.0, 1e-14)]


def told(results):
    """The results with starts and a trace written by hand."""
    shift = results.llf - bare().llf
    starts = [
        {**row, "loglik": None if row["loglik"] is None else row["loglik"] + shift, "loglik_short": results.llf - 9.0}
        for row in several_kinds()._starts
    ]
    return replace(results, _starts=starts, _trace=tuple(TraceRow(*row) for row in WAY))


#: What to draw: on axes, or as a figure of its own.
ON_AXES = {
    "experts": lambda ax: plot_experts(fitted("gate").results, ax=ax),
    "experts_by_level": lambda ax: plot_experts(formula(), along="g", ax=ax),
    "experts_without_covariates": lambda ax: plot_experts(bare(), ax=ax),
    "class": lambda ax: plot_class(voters(), "Independent", ax=ax),
    "class_along_the_gate": lambda ax: plot_class(voters(), "Democrat", along="income", ax=ax),
    "gate": lambda ax: plot_gate(formula(), ax=ax),
    "gate_constant": lambda ax: plot_gate(bare(), ax=ax),
    "plane": lambda ax: plot_gate_plane(formula(), ax=ax),
    "plane_of_two": lambda ax: plot_gate_plane(formula("y ~ x | z1 + z2", n_experts=2), along=("z2", "z1"), ax=ax),
    "density": lambda ax: plot_density(fitted("gate").results, ax=ax),
    "density_of_classes": lambda ax: plot_density(voters(), ax=ax),
    "responsibilities": lambda ax: plot_responsibilities(formula(), ax=ax),
    "responsibilities_of_classes": lambda ax: plot_responsibilities(voters(), ax=ax),
    "starts": lambda ax: plot_starts(several_kinds(), ax=ax),
    "starts_that_agree": lambda ax: plot_starts(replace(bare(), _starts=several_kinds()._starts[:2]), ax=ax),
    "trace": lambda ax: plot_trace(told(bare()), ax=ax),
    "trace_of_em": lambda ax: plot_trace(replace(bare(), _trace=told(bare())._trace[:12]), ax=ax),
}
PAGES = {
    "fit": lambda: plot_fit(fitted("common variance").results),
    "fit_of_classes": lambda: plot_fit(voters()),
    "page": lambda: told(formula()).plot(),
    "page_of_classes": lambda: told(voters()).plot(),
}


def without_texts(figure):
    """The figure without anything that depends on a font, or that versions of matplotlib place differently."""
    figure.set_layout_engine("none")
    for text in figure.findobj(Text):
        text.set_visible(False)
    for ax in figure.axes:
        if (legend := ax.get_legend()) is not None:
            legend.remove()
        ax.tick_params(which="both", length=0)
    for legend in figure.legends:
        legend.remove()
    return figure


def on_axes(name):
    figure, ax = plt.subplots(figsize=(4, 3), dpi=DPI)
    figure.subplots_adjust(0.05, 0.05, 0.97, 0.97)
    ax.clabel = lambda *lines, **look: None  # numbers leave gaps of their size
    ON_AXES[name](ax)
    return without_texts(figure)


@pytest.mark.mpl_image_compare(baseline_dir="images", tolerance=TOLERANCE, savefig_kwargs={"dpi": DPI}, style="default")
@pytest.mark.parametrize("name", list(ON_AXES))
def test_axes(name):
    return on_axes(name)


@pytest.mark.mpl_image_compare(
    baseline_dir="images", tolerance=TOLERANCE, savefig_kwargs={"dpi": PAGE_DPI}, style="default"
)
@pytest.mark.parametrize("name", list(PAGES))
def test_pages(name):
    return without_texts(PAGES[name]())


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3].astype(float)


@pytest.mark.parametrize(
    ("name", "place", "changed"),
    [
        ("experts", "moestat.plotting.marks.BAND", 0.0),
        ("experts", "moestat.plotting.scene.Scene.spread", None),
        ("gate", "moestat.plotting.marks.BAND", 0.0),
        ("plane", "moestat.plotting.plane.CONTOURS", (0.5,)),
        ("density", "moestat.plotting.density.SHARES", (0.5, 0.8, 0.9)),
        ("responsibilities", "moestat.plotting.looks.HATCHES", ("",) * 8),
        ("class", "moestat.plotting.classes.BINS", 1),
    ],
)
def test_a_small_change_is_seen(name, place, changed, monkeypatch):
    """Without a band, a contour, a hatch, a few marks, a picture is further off than it may be."""
    before = pixels(on_axes(name))
    monkeypatch.setattr(place, changed)
    assert np.sqrt(np.mean((pixels(on_axes(name)) - before) ** 2)) > TOLERANCE
