"""Gate weights over two covariates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import distance_transform_edt

from moestat.errors import InputError
from moestat.plotting.looks import colours, drawing, hatch, look, names, paler
from moestat.plotting.marks import draw_rows, entitle, name_with, thinned
from moestat.plotting.picture import picture
from moestat.plotting.rows import scene_of
from moestat.plotting.scene import Scene
from moestat.plotting.ticks import write_numbers
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moestat.results import Results

#: Points along either side.
SIDE = 120

#: Weights of the likeliest expert that are marked within its region.
CONTOURS = (0.75, 0.95)


@picture
def plot_gate_plane(
    results: Results,
    X: Any = None,
    y: Any = None,
    Z: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    along: tuple[str | int, str | int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Regions of the plane of two gate covariates in which each expert has the largest weight.

    Within a region, lines mark where its expert's weight is 0.75 and 0.95. Points are the rows, coloured by
    responsibility and shaped by the likeliest expert.

    Parameters
    ----------
    results : Results
        With at least two covariates of the gate, numbers both.
    X, y, Z, offset, exposure : array-like, optional
        Rows to show; those of the fit when left out. A formula's fit takes a data frame as X.
    along : pair of str or int, optional
        Covariates of the gate on the horizontal and the vertical axis; the first two when left out.
    ax : Axes, optional
        Where to draw; the current axes when left out.

    Returns
    -------
    Axes
    """
    scene = scene_of(results, X, y, Z, offset, exposure)
    across, up = _pair(scene, along)
    with drawing(ax) as ax:
        x, z, weights = _weights(scene, across, up)
        _draw_regions(ax, x, z, weights)
        if scene.has_rows:
            draw_rows(ax, scene, scene.places(across), scene.places(up))
        held = scene.held(scene.gate, across, up, offset=False)
        ax.set_xlabel(name_with(ax, across, held))
        ax.set_ylabel(up)
        write_numbers(ax.xaxis, x)
        write_numbers(ax.yaxis, z)
        entitle(ax, "Gate weights", "regions of the largest, and where it is 0.75 and 0.95", thinned(scene))
    return ax


def _pair(scene: Scene, along: Any) -> tuple[str, str]:
    """The two covariates of the plane."""
    numbers = tuple(name for name in scene.gate if scene.levels[name] is None)
    if len(numbers) < 2:
        raise InputError(
            f"a plane needs two numerical covariates of the gate; this one has {list(numbers)}. Use plot_gate."
        )
    if along is None:
        return numbers[0], numbers[1]
    if isinstance(along, str) or not isinstance(along, tuple | list) or len(along) != 2:
        raise InputError(f"along must be two of {list(numbers)}, or their positions; got {along!r}.")
    across, up = (scene.pick(one, numbers) for one in along)
    if across == up:
        raise InputError(f"along must be two different covariates; got {across!r} twice.")
    return across, up


def _weights(scene: Scene, across: str, up: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Both sides of the plane (S,), and the weights there (S, S, K), vertical side first."""
    sides = [np.linspace(scene.typical[name].low, scene.typical[name].high, SIDE) for name in (across, up)]
    x, z = np.meshgrid(*sides)
    rows = scene.typical_rows(x.size).assign(**{across: x.ravel(), up: z.ravel()})
    return sides[0], sides[1], scene.gate_weights(rows).value.reshape(SIDE, SIDE, -1)


def _draw_regions(ax: Axes, x: FloatArray, z: FloatArray, weights: FloatArray) -> None:
    largest, K = weights.argmax(axis=2), weights.shape[2]
    for k, colour in enumerate(colours(K)):
        others = np.delete(weights, k, axis=2).max(axis=2, initial=0.0)
        lead = weights[:, :, k] - others  # positive within the region; smooth, unlike its indicator
        if not (largest == k).any():
            continue
        # paler colours, not transparent ones: of those, versions of matplotlib draw hatches unlike
        with plt.rc_context({"hatch.color": paler(colour, 0.5), "hatch.linewidth": 0.5}):
            ax.contourf(x, z, lead, [0.0, 1.1], colors=[paler(colour, 0.22)], hatches=[hatch(k)], zorder=0)
        if (lead < 0).any():
            ax.contour(x, z, lead, levels=[0.0], colors="0.15", linewidths=1.4, zorder=1)
        inside = np.where(largest == k, weights[:, :, k], np.nan)
        marked = [level for level in CONTOURS if np.nanmin(inside) < level < np.nanmax(inside)]
        if marked:
            lines = ax.contour(x, z, inside, marked, colors=colour, linestyles=[look(k)["ls"]], linewidths=1.2)
            ax.clabel(lines, fmt="%.2f", fontsize=8)
        row, column = np.unravel_index(np.nanargmax(_depth(largest == k)), largest.shape)
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": colour, "alpha": 0.9}
        ax.text(x[column], z[row], names(K)[k], ha="center", va="center", bbox=box, zorder=5)


def _depth(region: Any) -> FloatArray:
    """How deep every point lies within a region and the page: where its name fits best."""
    return np.asarray(distance_transform_edt(np.pad(region, 1)))[1:-1, 1:-1]
