"""The probability of one class under each expert, and the rows that are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import InputError
from moestat.plotting.looks import colours, drawing, hatched, marker, mixed, names
from moestat.plotting.marks import beyond, dodge, draw_curves, entitle, name_axis, name_experts
from moestat.plotting.picture import picture
from moestat.plotting.rows import scene_of
from moestat.plotting.scene import SEED, Curves, Line, Scene
from moestat.typing import AnyArray, BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moestat.results import Results

#: What the marks of `plot_class` mean.
CLASS_CAPTION = (
    "Dots: the rows, above when in the class and below when not, coloured by responsibility. Bands: 95 %.\n"
    "Open marks: observed share of the class among an expert's rows; the area follows their number."
)

#: Observed shares along a covariate of many values.
BINS = 8


@picture
def plot_class(
    results: Results,
    label: Any,
    X: Any = None,
    y: Any = None,
    Z: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    along: str | int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Probability of one class under each expert, with the rows above (in the class) and below (not).

    Bands are pointwise 95 % confidence limits, made on the scale of the logit. Open marks are observed shares of
    the class among the rows of an expert, weighted by responsibility; their area follows the weight.

    Parameters
    ----------
    results : Results
        With class labels as response.
    label
        One of ``results.schema.classes``.
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
        For a numerical response, an unknown class or covariate, or rows that the model cannot read.
    """
    classes = results.schema.classes
    if classes is None:
        raise InputError("this fit has no classes, its response is a number: use plot_experts.")
    if label not in classes:
        raise InputError(f"label must be one of the classes {classes}; got {label!r}.")
    scene = scene_of(results, X, y, Z, offset, exposure)
    c = classes.index(label)
    with drawing(ax) as ax:
        if scene.covariates or along is not None:
            line = scene.line(along, scene.covariates)
            curves = _of_class(scene.expert_means(line.rows), c)
            draw_curves(ax, line, curves)
            name_axis(ax, line, scene.held(scene.experts, line.name))
            if scene.has_rows:
                assert scene.y is not None
                _draw_rows(ax, scene, line, scene.y == label)
            if c == 0:
                name_experts(ax, line)
        else:
            curves = _of_class(scene.expert_means(scene.typical_rows(1)), c)
            _draw_bars(ax, curves)
        ax.set_ylim(-0.12, 1.12)
        sure = "" if curves.limits else "no bands: not identified"
        entitle(ax, f"{results.schema.responses[0]}: {label}", sure, beyond(scene))
        ax.set_ylabel("probability under each expert")
    return ax


def _of_class(curves: Curves, c: int) -> Curves:
    """Curves (G, K) of one class among those (G, K, C) of all."""
    limits = None if curves.limits is None else (curves.limits[0][:, :, c], curves.limits[1][:, :, c])
    return Curves(curves.value[:, :, c], limits)


def _draw_bars(ax: Axes, curves: Curves) -> None:
    K = curves.value.shape[1]
    for k, value in enumerate(curves.value[0]):
        ax.bar(k, value, **hatched(k))
    ax.set_xticks(range(K), names(K))


def _draw_rows(ax: Axes, scene: Scene, line: Line, inside: BoolArray) -> None:
    x, K = scene.places(line.name), scene.n_experts
    values = x if line.levels is None else np.round(x)
    shown = scene.shown
    jitter = np.random.default_rng([SEED, 1]).uniform(-1, 1, size=(2, len(x)))
    step = np.diff(np.unique(x)).min(initial=np.ptp(x) or 1.0)
    height = np.where(inside, 1.06, -0.06) + 0.035 * jitter[0]
    at = (x + 0.3 * step * jitter[1])[shown], height[shown]
    ax.scatter(*at, c=mixed(scene.resp[shown]), s=5, lw=0, alpha=0.8, zorder=1, gid="rows")
    for k, colour in enumerate(colours(K)):
        aside = 0.0 if line.levels is None else dodge(k, K) + 0.06  # beside the mark of the fit
        for value, share, mass in shares(values, inside, scene.weight * scene.resp[:, k]):
            ax.scatter(
                value + aside,
                share,
                s=200 * mass,
                marker=marker(k),
                facecolor="none",
                edgecolor=colour,
                lw=1.2,
                zorder=3,
            )


def shares(x: FloatArray, inside: AnyArray, weight: FloatArray) -> list[tuple[float, float, float]]:
    """(place, weighted share inside, weight relative to the largest) by distinct value, or by bin."""
    values = np.unique(x)
    edges = np.quantile(x, np.linspace(0, 1, BINS + 1)) if values.size > 2 * BINS else np.append(values, np.inf)
    group = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    total = np.bincount(group, weight, len(edges) - 1)
    hits = np.bincount(group, weight * inside, len(edges) - 1)
    place = np.bincount(group, weight * x, len(edges) - 1)
    kept = total > 0.5
    top = total.max(initial=1.0)
    return [(place[i] / total[i], hits[i] / total[i], total[i] / top) for i in np.flatnonzero(kept)]
