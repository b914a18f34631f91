"""The figures that a fit leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moestat.errors import MoestatWarning, warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from moestat.results import Results

#: The fit on one page; the others are its panels, large.
PAGE = "summary.png"

#: Figures by file, and the name of the function of `moestat.plotting` that draws each.
FIGURES = {
    PAGE: "plot_summary",
    "fit.png": "plot_fit",
    "density.png": "plot_density",
    "gate_plane.png": "plot_gate_plane",
    "responsibilities.png": "plot_responsibilities",
    "starts.png": "plot_starts",
    "trace.png": "plot_trace",
}

#: Those that show what a least squares fit does not know.
OF_A_LAW = ("density.png", "responsibilities.png")


#: Figures of the search alone. The others show one response.
OF_THE_SEARCH = ("starts.png", "trace.png")


def drawers(results: Results) -> dict[str, Callable[[Path], Any]]:
    """What draws each figure into a file: a plane needs two covariates of the gate, some a law, most one response."""
    import matplotlib

    matplotlib.use("Agg")
    left_out = () if results.has_density else OF_A_LAW
    if len(results.schema.gate_features) < 2:
        left_out = (*left_out, "gate_plane.png")
    if len(results.schema.responses) > 1:
        left_out = (*left_out, *(name for name in FIGURES if name not in OF_THE_SEARCH))
    return {name: partial(_draw, results, name) for name in FIGURES if name not in left_out}


def _draw(results: Results, name: str, path: Path) -> None:
    """Draw one figure. One that this fit does not have is left out, with the reason: no picture may cost the fit."""
    import matplotlib.pyplot as plt

    from moestat import plotting

    try:
        drawn = getattr(plotting, FIGURES[name])(results)
        figure: Figure = getattr(drawn, "figure", drawn)  # of axes, or itself
        figure.savefig(path)
    except Exception as error:  # matplotlib has many kinds
        warn(f"{name} is left out: {error}", MoestatWarning)
    plt.close("all")
