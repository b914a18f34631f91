"""The conditional density of the response along a covariate.

Ribbons are highest-density regions: at every x the smallest set of responses that holds 50, 80 or 95 % of the
probability. Where the mixture has two modes they split, which ribbons between quantiles cannot (Hyndman 1996,
Computing and graphing highest density regions, The American Statistician 50).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from moestat.plotting.histogram import draw_histogram, least_response, responses
from moestat.plotting.looks import drawing, hatch
from moestat.plotting.marks import crowding, entitle, name_axis, thinned
from moestat.plotting.picture import picture
from moestat.plotting.rows import scene_of
from moestat.plotting.scene import Line, Scene
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moestat.results import Results

#: Shares of the probability that the ribbons hold.
SHARES = (0.5, 0.8, 0.95)

#: From the inside out; they differ in lightness.
RIBBONS = ("#3c7fb1", "#8fbbdb", "#d3e4f1")

#: What they mean: a title says it, for a legend would cover them.
REGIONS = "regions of 50, 80, 95 %; line: the mean"

#: Responses at which a column of the density is computed: over the whole range, and around every expert.
EVENLY, AROUND = 160, 41

#: Places along the covariate: ribbons need fewer than curves.
COLUMNS = 120


@picture
def plot_density(
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
    """Where the response lies along a covariate, as the whole mixture says.

    Ribbons hold 50, 80 and 95 % of the conditional probability in the smallest possible set, so that they split
    where the mixture has several modes; the line is the mixture's mean. For class labels, areas stacked to one are
    the probabilities of the classes. A model without covariates is drawn as a density over a histogram, or as bars.

    Parameters
    ----------
    results : Results
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
    """
    scene = scene_of(results, X, y, Z, offset, exposure)
    with drawing(ax) as ax:
        if results.schema.classes is not None:
            _draw_classes(ax, scene, along)
            return ax
        if not scene.covariates and along is None:
            draw_histogram(ax, scene, experts=False)
            _fill_beneath(ax, scene)
            entitle(ax, "Density", REGIONS)
            return ax
        line = scene.line(along, scene.covariates, COLUMNS)
        _draw_ribbons(ax, scene, line)
        entitle(ax, "Conditional density", REGIONS, thinned(scene))
        name_axis(ax, line, scene.held(scene.covariates, line.name))
        ax.set_ylabel(results.schema.responses[0])
    return ax


# --------------------------------------------------------------------------------------- numbers
def _draw_ribbons(ax: Axes, scene: Scene, line: Line) -> None:
    y = _responses(scene, line)
    rows = line.rows.loc[np.repeat(np.arange(len(y)), y.shape[1])].reset_index(drop=True)
    density = scene.density(rows, y.ravel()).reshape(y.shape)
    share = mass_above(y, density, scene.results.model.expert.discrete)
    for places, at in _stretches(line):
        ax.contourf(
            np.repeat(places[:, None], y.shape[1], axis=1), y[at], share[at], [0.0, *SHARES], colors=RIBBONS, zorder=1
        )
        ax.plot(places, scene.mean(line.rows)[at], color="black", lw=1.6, zorder=3)
    if scene.has_rows:
        shown = scene.level_responses
        size, _, alpha = crowding(len(scene.shown))
        at_rows = scene.places(line.name)[scene.shown], shown[scene.shown]
        ax.scatter(*at_rows, s=0.4 * size, color="0.15", alpha=0.6 * alpha, lw=0, zorder=2, gid="rows")


def _stretches(line: Line) -> list[tuple[FloatArray, Any]]:
    """Places of ribbons with the rows of the line they show: all, or a bar per level."""
    if line.levels is None:
        return [(line.places, slice(None))]
    return [(place + np.array([-0.35, 0.35]), [i, i]) for i, place in enumerate(line.places)]


def _responses(scene: Scene, line: Line) -> FloatArray:
    """Responses (G, M), increasing in every row: over the range, and closer together near the experts' means."""
    means, weights = scene.expert_means(line.rows).value, scene.gate_weights(line.rows).value
    spread = scene.spread
    if spread is None:
        return np.tile(responses(scene), (len(means), 1))
    seen = weights > 1e-3  # an expert that leaves the page has no weight there
    low = np.where(seen, means - 4 * spread, np.inf).min()
    high = np.where(seen, means + 4 * spread, -np.inf).max()
    low = least_response(scene, low, high)
    even = np.broadcast_to(np.linspace(low, high, EVENLY), (len(means), EVENLY))
    around = means[:, :, None] + spread[:, None] * np.linspace(-4, 4, AROUND)
    return np.sort(np.clip(np.hstack([even, around.reshape(len(means), -1)]), low, high), axis=1)


def _fill_beneath(ax: Axes, scene: Scene) -> None:
    """The same regions, beneath the density of a model without covariates."""
    y = responses(scene)
    density = scene.density(scene.typical_rows(len(y)), y)
    share = mass_above(y[None], density[None], scene.results.model.expert.discrete)[0]
    for level, colour in reversed([*zip(SHARES, RIBBONS, strict=True)]):
        ax.fill_between(y, density, where=share <= level, color=colour, lw=0, alpha=0.75, zorder=1)
    ax.axvline(scene.mean(scene.typical_rows(1))[0], color="black", lw=1.6, zorder=3)


def mass_above(y: FloatArray, density: FloatArray, discrete: bool = False) -> FloatArray:
    """Probability of a density larger than here, (G, M): below c in the smallest set of probability c.

    Half a gap either side belongs to a response; to counts, beyond the first and the last one as well.
    """
    ends: Literal["edge", "constant"] = "edge" if discrete else "constant"
    gaps = np.diff(y, axis=1)
    width = 0.5 * (np.pad(gaps, ((0, 0), (1, 0)), ends) + np.pad(gaps, ((0, 0), (0, 1)), ends))
    order = np.argsort(-density, axis=1, kind="stable")
    mass = np.take_along_axis(density * width, order, axis=1)
    above = np.cumsum(mass, axis=1) - mass
    out = np.empty_like(density)
    np.put_along_axis(out, order, above / mass.sum(axis=1, keepdims=True), axis=1)
    return out


# --------------------------------------------------------------------------------------- classes
def _draw_classes(ax: Axes, scene: Scene, along: Any) -> None:
    classes = scene.results.schema.classes
    assert classes is not None
    if scene.covariates or along is not None:
        line = scene.line(along, scene.covariates)
        name_axis(ax, line, scene.held(scene.covariates, line.name))
        rows, places = line.rows, line.places
        ax.margins(x=0)
    else:
        line, rows, places = None, scene.typical_rows(1), np.zeros(1)
        ax.set_xticks([])
    top = np.cumsum(scene.mean(rows), axis=1)
    bottom = top - scene.mean(rows)
    shades = [to_hex(colour) for colour in mpl.colormaps["cividis"](np.linspace(0.15, 0.95, len(classes)))]
    for c in range(len(classes)):
        look: dict[str, Any] = {"facecolor": shades[c], "hatch": hatch(c), "edgecolor": "white"}
        if line is not None and line.levels is None:
            ax.fill_between(places, bottom[:, c], top[:, c], lw=0.5, **look)
        else:
            ax.bar(places, top[:, c] - bottom[:, c], bottom=bottom[:, c], width=0.7, **look)
    ax.set_ylim(0, 1)
    ax.set_ylabel("probability")
    ax.set_title(f"{scene.results.schema.responses[0]}: probabilities of the classes")
    _name_areas(ax, places, bottom, top, classes)


def _name_areas(ax: Axes, places: FloatArray, bottom: FloatArray, top: FloatArray, classes: tuple[Any, ...]) -> None:
    """Names where the areas are widest, a little inside the page."""
    inside = slice(len(places) // 8, len(places) - len(places) // 8)
    for c, label in enumerate(classes):
        widest = np.argmax((top - bottom)[inside, c]) + inside.start
        height = 0.5 * (bottom + top)[widest, c]
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.9}
        ax.text(places[widest], height, str(label), ha="center", va="center", bbox=box, zorder=5, parse_math=False)
