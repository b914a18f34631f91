"""What became of the starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from moestat.certificate import Status
from moestat.plotting.looks import MARKERS, colours, drawing
from moestat.plotting.marks import entitle
from moestat.plotting.picture import picture
from moestat.plotting.scene import SEED
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moestat.results import Results


@picture
def plot_starts(results: Results, *, ax: Axes | None = None) -> Axes:
    """Where every start ended, family by family, marked by the kind of end point.

    Crosses are starts that a short run showed to be unpromising. The line marks the reported solution; starts far
    below it are drawn at the left edge; those of a sum of squares far above it, at the right.

    Parameters
    ----------
    results : Results
        Loaded ones will do.
    ax : Axes, optional
        Where to draw; the current axes when left out.

    Returns
    -------
    Axes
    """
    with drawing(ax) as ax:
        table = results.starts
        measure = results.certificate.measure
        level = float(results.certificate.reading(results.certificate.loglik))
        reached = measure.sign * table[measure.column].fillna(table[f"{measure.column}_short"]).to_numpy(dtype=float)
        shown = measure.sign * np.maximum(reached, lower_edge(reached, measure.sign * level))
        families = list(dict.fromkeys(table["family"]))
        rows = np.array([families.index(family) for family in table["family"]])
        spread = np.random.default_rng(SEED).uniform(-0.22, 0.22, len(table))
        kinds = [status for status in Status if status.value in set(table["status"])]
        named = [(status.value, measure.kind(status)) for status in kinds]
        looks = [*zip(named, colours(len(kinds)), MARKERS, strict=False), (("not finished",) * 2, "0.6", "x")]
        for (kind, label), colour, shape in looks:
            mine = (table["status"] == kind).to_numpy()
            if mine.any():
                at = shown[mine], rows[mine] + spread[mine]
                ax.scatter(*at, s=28, marker=shape, color=colour, alpha=0.8, label=label, zorder=2)
        ax.axvline(level, color="0.4", lw=1, zorder=1)
        _make_room(ax, shown, level)
        ax.set_yticks(range(len(families)), [family.replace("_", " ") for family in families])
        ax.set_ylim(len(families) - 0.5, -0.5)
        ax.set_xlabel(measure.name)
        one = results.certificate.n_reached
        entitle(ax, "Starts", f"{one} of {len(table)} reached the reported solution")
        columns = 1 if len(looks) > 2 else 2
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=4.2, ncols=columns)  # beneath the name
    return ax


def lower_edge(values: FloatArray, level: float) -> float:
    """Lowest level shown: a few outliers must not squeeze the rest together."""
    low, middle = np.quantile(values, [0.1, 0.5])
    return float(max(values.min(), min(low, level) - 2.0 * max(middle - low, 1.0)))


def _make_room(ax: Axes, shown: FloatArray, level: float) -> None:
    """Starts that agree to rounding are drawn as agreeing, not as scattered over the whole width."""
    low, high = min(shown.min(), level), max(shown.max(), level)
    margin = max(0.05 * (high - low), 1e-3 * max(abs(level), 1.0) if high - low < 1e-6 * max(abs(level), 1.0) else 0.0)
    ax.set_xlim(low - margin, high + margin)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.xaxis.set_major_locator(MaxNLocator(4))
