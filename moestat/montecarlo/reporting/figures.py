"""Figures of a report: a measure against the sample size, with its error bars, line and prediction."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from moestat.montecarlo.collecting import Group
from moestat.montecarlo.measuring import Measurement
from moestat.montecarlo.recording import GAIN
from moestat.montecarlo.slopes.weighted import line
from moestat.plotting.looks import DASHES, MARKERS, style
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Points of the same size stand side by side: the ratio of neighbours.
ASIDE = 1.02

#: Half of the height of an error bar in Monte Carlo standard errors.
BAR = 1.96


def rate_figure(measure: str, found: Sequence[Measurement]) -> Figure | None:
    """Means with their 95 % Monte Carlo intervals, the fitted lines, and the predicted slope as a grey line."""
    drawn = [one for one in found if one.measure == measure and one.slope is not None]
    if not drawn:
        return None
    with style():
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=(7.2, 4.6))
        middle = (len(drawn) - 1) / 2
        shown = [_draw(ax, one, i, ASIDE ** (i - middle)) for i, one in enumerate(drawn)]
        shown += _draw_predictions(ax, drawn)
        ax.set(xscale="log", yscale="log", xlabel="n", ylabel=f"{_functional(drawn[0])} of {measure}")
        ax.set_title(f"{measure}: slopes on a log-log scale")
        ax.legend(handles=shown, loc="best")
    return figure


@dataclass(frozen=True, eq=False)
class GainCurve:
    """Quantiles (J, 3) of the gain over the reference fit, by sample size: 10 %, median, 90 %."""

    name: str
    sizes: FloatArray
    quantiles: FloatArray

    @staticmethod
    def of(group: Group) -> GainCurve:
        """Of a fitted model under a protocol."""
        values = {n: x[~np.isnan(x)] for n, x in group.values(GAIN).items()}
        kept = {n: np.quantile(x, [0.1, 0.5, 0.9]) for n, x in values.items() if x.size}
        sizes = np.array(list(kept), dtype=np.float64)
        return GainCurve(f"{group.fit}, {group.protocol}", sizes, np.array([*kept.values()]))


def gain_figure(curves: Sequence[GainCurve]) -> Figure | None:
    """Quantiles of the gain of log-likelihood over the reference fit."""
    if not curves:
        return None
    with style():
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=(7.2, 3.8))
        for i, one in enumerate(curves):
            low, middle, high = one.quantiles.T
            look: dict[str, Any] = {"marker": MARKERS[i % 8], "ls": DASHES[i % 8], "color": f"C{i % 8}"}
            ax.plot(one.sizes, middle, label=one.name, **look)
            ax.fill_between(one.sizes, low, high, color=look["color"], alpha=0.15, lw=0)
        ax.axhline(0.0, color="0.4", lw=0.8)
        ax.set(xscale="log", xlabel="n", ylabel="gain in log-likelihood (nats)")
        ax.set_title("Gain over the reference fit: median, 10 % and 90 %")
        ax.legend(loc="best")
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure's bytes; it is closed, and no date is in them."""
    import matplotlib.pyplot as plt

    out = BytesIO()
    with style():
        figure.savefig(out, format="png", metadata={"Software": None})
    plt.close(figure)
    return out.getvalue()


def as_link(png: bytes) -> str:
    """A picture inside a page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _draw(ax: Axes, one: Measurement, i: int, shift: float) -> Line2D:
    """Points, bars and line of one measurement, a little aside of the others'; what the legend shows of it."""
    assert one.slope is not None
    points, slope = one.slope.points, one.slope
    look: dict[str, Any] = {"color": f"C{i % 8}", "marker": MARKERS[i % 8], "ms": 5}
    estimate = np.exp(points.log_estimates)
    bars = BAR * points.standard_errors
    ends = [estimate * (1 - np.exp(-bars)), estimate * (np.exp(bars) - 1)]
    ax.errorbar(points.sizes * shift, estimate, yerr=ends, ls="none", lw=1.2, capsize=2, **look)
    fitted = np.exp(line(points.log_sizes) @ slope.fit.coefficients)
    ax.plot(points.sizes, fitted, color=look["color"], ls=DASHES[i % 8], lw=1.4)
    low, high = slope.interval
    label = f"{one.fit}, {one.protocol}: {slope.slope:.3f} [{low:.3f}, {high:.3f}]"
    return Line2D([], [], ls=DASHES[i % 8], lw=1.4, label=label, **look)


def _draw_predictions(ax: Axes, drawn: Sequence[Measurement]) -> list[Line2D]:
    """One grey line for each different prediction, below the first point of what it is about."""
    rates: dict[str, Measurement] = {}
    for one in drawn:
        if one.predicted.rate is not None and one.predicted.rate.exponent is not None:
            rates.setdefault(str(one.predicted.rate), one)
    lines = []
    for i, (name, one) in enumerate(rates.items()):
        assert one.slope is not None
        assert one.predicted.rate is not None
        n = np.geomspace(*one.slope.window, 60)
        bare = n ** -float(one.predicted.rate.exponent or 0)
        scale = 0.6 * float(np.exp(one.slope.points.log_estimates[0])) / bare[0]
        label = f"predicted {_mathematical(name)}"
        lines += ax.plot(n, scale * bare, color="0.45", lw=1.2, ls=(0, (1 + i, 1)), label=label)
    return lines


def _mathematical(name: str) -> str:
    return f"${name}$" if name.startswith("n^") else name


def _functional(one: Measurement) -> str:
    assert one.slope is not None
    return {"mean": "mean", "median": "median", "geometric": "geometric mean"}[one.slope.functional]
