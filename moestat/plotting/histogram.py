"""A model without covariates: its densities over a histogram of the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        assert scene.y is not None
        shown = scene.y.astype(float) - scene.offset + scene.mean_offset
        bins = np.histogram_bin_edges(shown, "fd" if np.ptp(shown) > 0 else 10)
        ax.hist(
            shown, min(len(bins) - 1, MOST_BARS), weights=scene.weight, density=True, color="0.88", ec="white", lw=0.6
        )
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


def responses(scene: Scene) -> FloatArray:
    """The responses to draw at: those of the rows and a margin, or where the mixture lies."""
    if scene.has_rows:
        assert scene.y is not None
        low, high = scene.y.astype(float).min(), scene.y.astype(float).max()
    else:
        means = scene.expert_means(scene.typical_rows(1)).value[0]
        reach = 0.0 if scene.spread is None else 3 * scene.spread
        low, high = (means - reach).min(), (means + reach).max()
    margin = 0.1 * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, POINTS)
