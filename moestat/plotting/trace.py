"""The way of the winning start to its end."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from moestat.plotting.looks import colours, drawing
from moestat.plotting.marks import entitle
from moestat.plotting.picture import picture
from moestat.typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from moestat.results import Results

#: What the methods are called.
METHODS = {"em": "EM", "newton": "Newton", "squarem": "SQUAREM"}


@picture
def plot_trace(results: Results, *, ax: Axes | None = None) -> Axes:
    """How far the log-likelihood is below its end, and the gradient, iteration by iteration.

    Both are on a logarithmic axis. EM is a straight line there, Newton's method falls ever faster; an upright line
    marks where one takes over from the other. What is zero to the last digit is not drawn.

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
    trace = results.trace
    iteration = np.arange(len(trace))
    gap, below = _way(results, trace)
    with drawing(ax) as ax:
        blue, orange = colours(2)
        for values, colour, shape, label in (
            (gap, blue, "o", below),
            (trace["gradient"].to_numpy(dtype=float), orange, "s", "gradient per row"),
        ):
            seen = _seen(values)
            ax.plot(iteration[seen], values[seen], color=colour, marker=shape, ms=4, lw=1.2, label=label)
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, high / 1e4), 2 * high)  # rounding alone is no way: it does not fill the page
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        _mark_methods(ax, trace["method"].tolist())
        ax.set_xlabel("iteration")
        entitle(ax, f"The way to the {results.certificate.measure.optimum}", _counted(trace["method"].tolist()))
        ax.legend()
    return ax


def _way(results: Results, trace: pd.DataFrame) -> tuple[FloatArray, str]:
    """How far each iteration was from the end, and what that is called."""
    measure = results.certificate.measure
    if measure.sign < 0:
        values = trace[measure.column].to_numpy(dtype=float)
        return values - values[-1], f"{measure.name} above its end"
    climbed = trace["objective"].to_numpy(dtype=float)
    plain = (trace["objective"] == trace[measure.column]).all()
    return climbed[-1] - climbed, f"{measure.name} below its end (nats)" if plain else "objective below (nats)"


def _seen(values: FloatArray) -> Any:
    return np.flatnonzero(values > 0)


def _stretches(methods: list[str]) -> list[tuple[str, int, int]]:
    """(method, first row, number of rows) of every stretch; the first row of a trace is its start."""
    out, at = [], 0
    for method, rows in groupby(methods):
        count = len(list(rows))
        out.append((method, at, count))
        at += count
    return out


def _mark_methods(ax: Axes, methods: list[str]) -> None:
    for _, first, _ in _stretches(methods)[1:]:
        ax.axvline(first - 0.5, color="0.5", lw=1, ls=":")


def _counted(methods: list[str]) -> str:
    """The methods in order with their numbers of iterations; of those that take turns, all of them together."""
    stretches = _stretches(methods)
    steps: dict[str, int] = {}
    for i, (method, _, count) in enumerate(stretches):
        steps[method] = steps.get(method, 0) + count - (i == 0)
    if len(stretches) > len(steps):
        return f"in turns {', '.join(f'{METHODS.get(method, method)} {n}' for method, n in steps.items())} steps"
    return ", then ".join(
        f"{METHODS.get(method, method)}: {n} step{'s' if n != 1 else ''}" for method, n in steps.items()
    )
