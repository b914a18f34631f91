"""Whole figures: the fit at a glance, and everything about it on one page."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from moestat.expressions import spoken, spoken_experts
from moestat.plotting.classes import CLASS_CAPTION, plot_class
from moestat.plotting.density import plot_density
from moestat.plotting.experts import plot_experts
from moestat.plotting.gate import plot_gate
from moestat.plotting.looks import look, marker, names, style
from moestat.plotting.marks import drop_legend
from moestat.plotting.picture import picture
from moestat.plotting.responsibilities import plot_responsibilities
from moestat.plotting.rows import scene_of
from moestat.plotting.scene import Scene
from moestat.plotting.starts import plot_starts
from moestat.plotting.trace import plot_trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from moestat.results import Results

#: Panels of classes; of more, the most frequent are shown.
MOST_CLASSES = 4

#: Letters of the page, smaller than those of a figure of its own.
SMALL = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}

#: Letters that the page has room for beside its legend.
ONE_LINE = 105


@picture
def plot_fit(
    results: Results,
    X: Any = None,
    y: Any = None,
    Z: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    along: str | int | None = None,
    title: str = "",
) -> Figure:
    """Experts over the data, or a panel per class, and the gate weights beneath.

    Parameters
    ----------
    results : Results
    X, y, Z, offset, exposure : array-like, optional
        Rows to show; those of the fit when left out. A formula's fit takes a data frame as X.
    along : str or int, optional
        Covariate on the horizontal axis, by name or position; the first of each part when left out.
    title : str

    Returns
    -------
    matplotlib Figure
    """
    rows = {"X": X, "y": y, "Z": Z, "offset": offset, "exposure": exposure}
    scene = scene_of(results, **rows)
    gate_along = _gate_along(scene, along)
    with style():
        if results.schema.classes is None:
            figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 7), height_ratios=(3, 1.3))
            plot_experts(results, **rows, along=along, ax=top)
            plot_gate(results, X, Z, along=gate_along, ax=bottom)
        else:
            classes = _frequent(results)
            figure = plt.figure(figsize=(max(3.4 * len(classes), 7), 6.8))
            grid = figure.add_gridspec(2, len(classes), height_ratios=(2.2, 1.3))
            _draw_classes(results, classes, rows, along, [figure.add_subplot(grid[0, i]) for i in range(len(classes))])
            plot_gate(results, X, Z, along=gate_along, ax=figure.add_subplot(grid[1, :]))
            if scene.covariates:
                figure.supxlabel(CLASS_CAPTION, x=0.02, ha="left", fontsize=9, color="0.3")
        if title:
            figure.suptitle(title, x=0.02, ha="left")
    return figure


@picture
def plot_summary(
    results: Results,
    X: Any = None,
    y: Any = None,
    Z: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    along: str | int | None = None,
    title: str = "",
) -> Figure:
    """The fit on one page: experts, gate, density, responsibilities, starts and trace under the verdict.

    Parameters
    ----------
    results : Results
    X, y, Z, offset, exposure : array-like, optional
        Rows to show; those of the fit when left out. A formula's fit takes a data frame as X.
    along : str or int, optional
        Covariate on the horizontal axes, by name or position; the first of each part when left out.
    title : str
        Goes before the verdict.

    Returns
    -------
    matplotlib Figure
    """
    rows = {"X": X, "y": y, "Z": Z, "offset": offset, "exposure": exposure}
    scene = scene_of(results, **rows)
    classes = _frequent(results)
    with style(**SMALL):
        if classes:
            figure, axes = _page(10, [len(classes), 3, 2])
            _draw_classes(results, classes, rows, along, axes[: len(classes)])
            if scene.covariates:
                figure.supxlabel(CLASS_CAPTION, x=0.01, ha="left", fontsize=8, color="0.3")
        else:
            figure, axes = _page(8, [3, 3])
            plot_experts(results, **rows, along=along, ax=axes[0])
        density, responsibilities, gate, starts, trace = axes[-5:]
        _draw_density(results, rows, along, density)
        _draw_responsibilities(results, scene, rows, responsibilities)
        plot_gate(results, X, Z, along=_gate_along(scene, along), ax=gate)
        plot_starts(results, ax=starts)
        plot_trace(results, ax=trace)
        _share_legend(figure, scene.n_experts)
        figure.suptitle("\n".join([*([title] if title else []), *verdict(results)]), x=0.01, ha="left", fontsize=10)
    return figure


def _page(height: float, counts: Sequence[int]) -> tuple[Figure, list[Axes]]:
    """A page of rows that hold so many axes each, from left to right and top to bottom."""
    figure = plt.figure(figsize=(12, height))
    grid = figure.add_gridspec(len(counts), 12)  # twelve columns divide evenly by 2, 3 and 4
    cells = [grid[r, 12 // n * i : 12 // n * (i + 1)] for r, n in enumerate(counts) for i in range(n)]
    return figure, [figure.add_subplot(cell) for cell in cells]


def verdict(results: Results) -> list[str]:
    """What kind of optimum was reached, and the numbers of the fit."""
    headline, second, *_ = str(results.certificate).splitlines()
    lines = [headline] + ([second.strip().partition(";")[0] + "."] if second.strip().startswith("But") else [])
    gate, experts = spoken(results.model.gate), spoken_experts(results.model.expert, results.model.n_experts)
    numbers = f"{results.in_short}, {results.df_model} parameters"
    model, fit = f"{gate} gate, {experts}", f"{results.nobs:g} rows; {numbers}"
    whole = f"{model}; {fit}"
    return [*lines, whole] if len(whole) <= ONE_LINE else [*lines, model, fit]  # the legend stands to the right


def _gate_along(scene: Scene, along: Any) -> str | None:
    """The covariate of the gate's panel: the one asked for if the gate has it, else its own first."""
    if along is None or not scene.covariates:
        return None
    name = scene.pick(along, scene.covariates)
    return name if name in scene.gate else None


def _frequent(results: Results) -> list[Any]:
    """The classes to show, in their order: all, or the most frequent."""
    classes = list(results.schema.classes or ())
    if len(classes) <= MOST_CLASSES or results.source is None:
        return classes[:MOST_CLASSES]
    counts = sum(np.bincount(b.Y[0].astype(np.int64), b.weight, len(classes)) for b in results.source.blocks())
    most = np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])
    return [classes[c] for c in most]


def _draw_classes(
    results: Results, classes: Sequence[Any], rows: dict[str, Any], along: Any, axes: Sequence[Axes]
) -> None:
    """Panels of classes side by side, with one vertical axis."""
    for i, (label, ax) in enumerate(zip(classes, axes, strict=True)):
        plot_class(results, label, **rows, along=along, ax=ax)
        if i:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)


def _draw_responsibilities(results: Results, scene: Scene, rows: dict[str, Any], ax: Axes) -> None:
    if not results.has_density:
        _say(ax, "No responsibilities: least squares know no law of the response.")
    elif not scene.has_rows:
        _say(ax, "No responsibilities: there are no rows. A loaded fit holds none; pass X and y to show some.")
    else:
        plot_responsibilities(results, **rows, ax=ax)


def _draw_density(results: Results, rows: dict[str, Any], along: str | int | None, ax: Axes) -> None:
    if results.has_density:
        plot_density(results, **rows, along=along, ax=ax)
    else:
        _say(ax, "No density: least squares fit the mean of the response and know no law of it.")


def _say(ax: Axes, reason: str) -> None:
    """Words in place of a panel."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, fill(reason, 36), ha="center", va="center", color="0.3", transform=ax.transAxes)


def _share_legend(figure: Figure, K: int) -> None:
    """One legend of the experts for the page, in place of one per panel."""
    for ax in figure.axes:
        legend = ax.get_legend()
        if legend is not None and {text.get_text() for text in legend.get_texts()} == set(names(K)):
            drop_legend(ax)
    handles = [
        Line2D([], [], **look(k), marker=marker(k), ms=5, mec="0.25", label=label) for k, label in enumerate(names(K))
    ]
    figure.legend(handles=handles, loc="upper right", ncols=min(K, 4), handlelength=4.5)
