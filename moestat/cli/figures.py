"""The figures that a fit leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

from moestat.results import Results

FIGURES = ("starts.png",)


def drawers(results: Results) -> dict[str, Callable[[Path], Any]]:
    """What draws each figure into a file."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from moestat.plotting import plot_starts

    def starts(path: Path) -> None:
        figure, ax = plt.subplots()
        plot_starts(results, ax=ax)
        figure.savefig(path)
        plt.close(figure)

    return {"starts.png": starts}
