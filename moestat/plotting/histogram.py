"""A model without covariates: its densities over a histogram of the response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.plotting.looks import look, names
from moestat.plotting.scene import Scene
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Points along the response.
POINTS = 400

#: Bars of the histogram; outliers ask for too many.
MOST_BARS = 60


def draw_histogram(ax: Axes, scene: Scene, experts: bool = True) -> None:
    """Density of the mixture, and if asked for that of every expert times its weight, over the rows."""
    y = responses(scene)
    rows = scene.typical_rows(len(y))
    density = scene.density(rows, y)
    if scene.has_rows:
        shown = scene.level_responses
        look_of_bars: dict[str, Any] = {"color": "0.88", "ec": "white", "lw": 0.6}
        ax.hist(shown, _bars(scene, shown), weights=scene.weight, density=True, **look_of_bars)
        ax.plot(shown[scene.shown], np.zeros(len(scene.shown)), "|", color="0.4", ms=6, clip_on=False, zorder=4)
    ax.plot(y, density, color="0.2", lw=1.0, label="mixture")
    if experts:
        each = density[:, None] * scene.responsibilities(rows, y)  # pi_k f_k = r_k p
        for k, label in enumerate(names(scene.n_experts)):
            ax.plot(y, each[:, k], **look(k), label=label)
        ax.legend()
    ax.set_ylim(bottom=0)
    ax.set_xlabel(scene.results.schema.responses[0])
    ax.set_ylabel("density")


def _bars(scene: Scene, shown: FloatArray) -> Any:
    """Number of bars, or their edges: of counts, one around each where they are few."""
    if scene.results.model.expert.discrete and shown.max() < MOST_BARS:
        return np.arange(np.ceil(shown.max()) + 2.0) - 0.5
    bins = np.histogram_bin_edges(shown, "fd" if np.ptp(shown) > 0 else 10)
    return min(len(bins) - 1, MOST_BARS)


def responses(scene: Scene) -> FloatArray:
    """The responses to draw at: those of the rows and a margin, or where the mixture lies."""
    if scene.has_rows:
        low, high = scene.level_responses.min(), scene.level_responses.max()
    else:
        means = scene.expert_means(scene.typical_rows(1)).value[0]
        reach = 0.0 if scene.spread is None else 3 * scene.spread
        low, high = (means - reach).min(), (means + reach).max()
    margin = 0.1 * ((high - low) or 1.0)
    if scene.results.model.expert.discrete:
        counts = whole(high + margin)
        return counts[counts <= scene.support[1]]
    return np.linspace(least_response(scene, low - margin, high), high + margin, POINTS)


def least_response(scene: Scene, low: float, high: float) -> float:
    """Where to begin to draw: at ``low``, or a little above zero where there are no others."""
    return max(low, high / POINTS) if scene.support[0] == 0.0 else low


def whole(high: float) -> FloatArray:
    """Counts from zero until here; of many, some at equal distances."""
    step = max(1, int(high) // POINTS)
    return np.arange(0.0, max(high, 1.0) + step, step)
