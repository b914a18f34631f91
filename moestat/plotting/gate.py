"""Gate weights along a covariate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.plotting.looks import drawing, hatched
from moestat.plotting.marks import draw_curves, entitle, name_axis, name_experts
from moestat.plotting.picture import picture
from moestat.plotting.rows import scene_of
from moestat.plotting.scene import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moestat.results import Results


@picture
def plot_gate(
    results: Results, X: Any = None, Z: Any = None, *, along: str | int | None = None, ax: Axes | None = None
) -> Axes:
    """Gate weights along a covariate of the gate with pointwise 95 % limits; ticks show where the rows are.

    The limits are made on the scale of the logit. A gate without covariates is drawn as bars.

    Parameters
    ----------
    results : Results
    X, Z : array-like, optional
        Rows to show; those of the fit when left out. A formula's fit takes a data frame as X.
    along : str or int, optional
        Covariate on the horizontal axis, by name or position; the gate's first when left out.
    ax : Axes, optional
        Where to draw; the current axes when left out.

    Returns
    -------
    Axes
    """
    known = None if X is None and Z is None else 0.0  # weights do not depend on an offset
    scene = scene_of(results, X, None, Z, known)
    with drawing(ax) as ax:
        ax.set_ylabel("weight")
        ax.set_ylim(-0.03, 1.03)
        if not scene.gate and along is None:
            return _draw_bars(ax, scene)
        line = scene.line(along, scene.gate)
        curves = scene.gate_weights(line.rows)
        draw_curves(ax, line, curves)
        if scene.rows is not None:
            x = scene.places(line.name)[scene.shown]
            ax.plot(x, np.full(len(x), -0.02), "|", color="0.5", ms=5, zorder=0)
        entitle(ax, "Gate weights", "bands: 95 %" if curves.limits else "no bands: not identified")
        name_axis(ax, line, scene.held(scene.gate, line.name, offset=False))
        name_experts(ax, line, scene.n_experts)
    return ax


def _draw_bars(ax: Axes, scene: Scene) -> Axes:
    """Weights that are the same everywhere."""
    curves = scene.gate_weights(scene.typical_rows(1))
    places = np.arange(1, scene.n_experts + 1)
    for k, (place, value) in enumerate(zip(places, curves.value[0], strict=True)):
        ax.bar(place, value, **hatched(k))
    if curves.limits is not None:
        reach = [np.maximum(curves.value - curves.limits[0], 0)[0], np.maximum(curves.limits[1] - curves.value, 0)[0]]
        ax.errorbar(places, curves.value[0], yerr=reach, fmt="none", ecolor="0.2", capsize=4)
    ax.set_xticks(places, [f"expert {k}" for k in places] if len(places) <= 4 else [str(k) for k in places])
    entitle(ax, "Gate weights", "bars: 95 %" if curves.limits else "no limits: not identified")
    return ax
