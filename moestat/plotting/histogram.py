"""A model without covariates: its densities over a histogram of the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from moestat.plotting.scene import Scene
from moestat.plotting.style import look, names
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Points along the response.
POINTS = 400


def draw_histogram(ax: Axes, scene: Scene) -> None:
    """Density of the mixture, and that of every expert times its weight, over the rows."""
    K = scene.n_experts
    y = _range(scene)
    rows = scene.typical_rows(len(y))
    density = scene.density(rows, y)
    each = density[:, None] * scene.responsibilities(rows, y)  # pi_k f_k = r_k p
    if scene.has_rows:
        assert scene.y is not None
        shown = scene.y.astype(float) - scene.offset + scene.mean_offset
        bins = np.histogram_bin_edges(shown, "fd" if np.ptp(shown) > 0 else 10)
        bins = bins if len(bins) <= 60 else np.linspace(bins[0], bins[-1], 61)
        ax.hist(shown, bins, weights=scene.weight, density=True, color="0.88", ec="white", lw=0.6)
        ax.plot(shown[scene.shown], np.zeros(len(scene.shown)), "|", color="0.4", ms=6, clip_on=False, zorder=4)
    if K > 1:
        ax.plot(y, density, color="0.2", lw=1.0, label="mixture")
    for k, label in enumerate(names(K)):
        ax.plot(y, each[:, k], **look(k), label=label)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(scene.results.schema.responses[0])
    ax.set_ylabel("density")
    ax.legend()


def _range(scene: Scene) -> FloatArray:
    """The responses to draw at: those of the rows and a margin, or where the mixture lies."""
    if scene.has_rows:
        assert scene.y is not None
        low, high = scene.y.astype(float).min(), scene.y.astype(float).max()
    else:
        prediction = scene.results.get_prediction(*scene.ask(scene.typical_rows(1)))
        low, high = prediction.quantile(0.001)[0], prediction.quantile(0.999)[0]
    margin = 0.1 * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, POINTS)
