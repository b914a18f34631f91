"""The experts' means over the rows, how sure they are, and how far the rows spread about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import InputError
from moestat.plotting.histogram import draw_histogram
from moestat.plotting.looks import colours, drawing
from moestat.plotting.marks import draw_curves, draw_rows, entitle, name_axis, name_experts, thinned
from moestat.plotting.picture import picture
from moestat.plotting.rows import scene_of
from moestat.plotting.scene import Line
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moestat.results import Results


@picture
def plot_experts(
    results: Results,
    X: Any = None,
    y: Any = None,
    Z: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    along: str | int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Expert means along a covariate, over the rows.

    Dark bands are pointwise 95 % confidence limits of each mean, light ones reach two standard deviations of the
    expert's noise to either side. Points mix the experts' colours by responsibility, and have the shape of the
    likeliest expert. A model without covariates is drawn as the densities of its experts over a histogram.

    Parameters
    ----------
    results : Results
        With a numerical response.
    X, y, Z, offset, exposure : array-like, optional
        Rows to show; those of the fit when left out. A formula's fit takes a data frame as X.
    along : str or int, optional
        Covariate on the horizontal axis, by name or position; the first when left out. The others are held at
        their means, or at their most frequent level.
    ax : Axes, optional
        Where to draw; the current axes when left out.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        For a categorical response, an unknown covariate, or rows that the model cannot read.
    """
    if results.schema.classes is not None:
        raise InputError("plot_experts shows numerical responses; use plot_class for one class of this model.")
    scene = scene_of(results, X, y, Z, offset, exposure)
    with drawing(ax) as ax:
        if not scene.covariates and along is None:
            draw_histogram(ax, scene)
            entitle(ax, "Experts", "density of each times its weight")
            return ax
        line = scene.line(along, scene.covariates)
        curves = scene.expert_means(line.rows)
        if scene.spread is not None:
            _draw_spread(ax, line, curves.value, scene.spread)
        draw_curves(ax, line, curves)
        if scene.has_rows:
            shown = scene.level_responses
            draw_rows(ax, scene, scene.places(line.name), shown)
            _fit_to_points(ax, shown)
        sure = "dark bands: 95 % of the mean" if curves.limits else "no bands of the mean: not identified"
        wide = "light: ± 2 sd" if scene.spread is not None else ""
        entitle(ax, "Experts", sure, wide, thinned(scene))
        name_axis(ax, line, scene.held(scene.experts, line.name))
        ax.set_ylabel(results.schema.responses[0])
        name_experts(ax, line)
    return ax


def _draw_spread(ax: Axes, line: Line, means: FloatArray, spread: FloatArray) -> None:
    """Two standard deviations either side: a light area between thin lines, which survive in grey."""
    places = line.places
    if line.levels is not None:  # a level is as wide as its points
        places = (line.places[:, None] + [-0.4, 0.4, np.nan]).ravel()
        means = np.repeat(means, 3, axis=0)
    for k, colour in enumerate(colours(len(spread))):
        low, high = means[:, k] - 2 * spread[k], means[:, k] + 2 * spread[k]
        ax.fill_between(places, low, high, color=colour, alpha=0.1, lw=0, zorder=1, gid="spread")
        for edge in (low, high):
            ax.plot(places, edge, color=colour, lw=0.6, ls=(0, (1, 2)), zorder=1.2)


def _fit_to_points(ax: Axes, y: FloatArray) -> None:
    """Vertical limits that follow the data, not a line that leaves them; of one row, those of the lines."""
    if len(y) > 1:
        margin = 0.12 * (np.ptp(y) or 1.0)
        ax.set_ylim(y.min() - margin, y.max() + margin)
