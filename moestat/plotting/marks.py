"""What several figures draw: curves with bands, rows as points, the axis of a covariate."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.plotting.looks import colours, look, marker, mixed, names
from moestat.plotting.scene import Curves, Line, Scene
from moestat.plotting.ticks import name_levels, write_numbers
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

#: Opaqueness of the confidence bands of two experts; those of more cover each other more.
BAND = 0.3

#: Width of an expert's name in a legend, and of the title of a gate.
NAME_INCHES, TITLE_INCHES = 1.1, 1.8

#: Room for a legend beside levels, as a share of the axis.
BESIDE = 0.3

#: Letters per inch, times their size in points.
LETTERS = 140

#: Rows beyond which points shrink and fade.
FEW = 300


def draw_curves(ax: Axes, line: Line, curves: Curves) -> None:
    """One curve (G, K) per expert with its band; marks with error bars at the levels of a categorical covariate."""
    K = curves.value.shape[1]
    for k, label in enumerate(names(K)):
        value = curves.value[:, k]
        ends = None if curves.limits is None else (curves.limits[0][:, k], curves.limits[1][:, k])
        if line.levels is not None:
            _draw_levels(ax, line.places + dodge(k, K), value, ends, k, label)
            continue
        ax.plot(line.places, value, **look(k), label=label, zorder=3)
        if ends is not None:
            ax.fill_between(
                line.places, *ends, color=colours(K)[k], alpha=BAND * min(1.0, 2 / K), lw=0, zorder=2.5, gid="band"
            )


def _draw_levels(ax: Axes, places: FloatArray, value: FloatArray, ends: Any, k: int, label: str) -> None:
    reach = None if ends is None else np.maximum([value - ends[0], ends[1] - value], 0.0)
    shape = {"fmt": marker(k), "mec": look(k)["color"], "mfc": "white", "mew": 2, "ms": 8}  # seen among points
    ax.errorbar(places, value, yerr=reach, ecolor="0.1", capsize=4, label=label, zorder=4, **shape)


def dodge(k: int, n: int) -> float:
    """Sideways place of expert k at a level, so that marks of several do not cover each other."""
    return 0.14 * (k - (n - 1) / 2)


def draw_rows(ax: Axes, scene: Scene, x: FloatArray, y: FloatArray) -> None:
    """The rows that are shown: coloured by responsibility, shaped by the likeliest expert."""
    rows = scene.shown
    resp = scene.resp[rows]
    size, edge, alpha = crowding(len(rows))
    face, likeliest = mixed(resp), resp.argmax(axis=1)
    for k in range(resp.shape[1]):
        mine = likeliest == k
        if mine.any():
            at = (x[rows][mine], y[rows][mine])
            ax.scatter(
                *at, c=face[mine], marker=marker(k), s=size, ec="0.25", lw=edge, alpha=alpha, zorder=2, gid="rows"
            )


def crowding(n: int) -> tuple[float, float, float]:
    """Area, edge and opaqueness of n points: many are small and faint."""
    share = min(1.0, FEW / max(n, 1))
    return 6 + 22 * share, 0.5 * share, 0.45 + 0.55 * share


def name_axis(ax: Axes, line: Line, held: str = "") -> None:
    """Name and ticks of the horizontal axis, and what other covariates are held at."""
    if line.levels is not None:
        ax.set_xlim(-0.5, len(line.places) - 0.5)
        name_levels(ax, line)
    else:
        write_numbers(ax.xaxis, line.places)
    ax.set_xlabel(name_with(ax, line.name, held))


def name_with(ax: Axes, name: str, held: str) -> str:
    """The name of an axis with what is held beneath, wrapped to the width of the axes."""
    parts = [name, *([f"({held})"] if held else [])]
    return "\n".join(line for part in parts for line in wrap(part, _letters(ax, ax.xaxis.label)) or [part])


def name_experts(ax: Axes, line: Line, n: int = 0) -> None:
    """A legend where it covers nothing: beside levels; above the axes if n experts find room beside the title."""
    if line.levels is not None:
        low, high = ax.get_xlim()
        ax.set_xlim(low, low + (1 + BESIDE) * (high - low))
        ax.legend(loc="center right").set_gid("beside")
    elif n and n * NAME_INCHES + TITLE_INCHES <= ax.bbox.width / ax.figure.dpi:
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=n, borderaxespad=0.0)
    else:
        ax.legend()


def drop_legend(ax: Axes) -> None:
    """Take the legend of the experts away, and the room that was made for it."""
    legend = ax.get_legend()
    if legend is not None and legend.get_gid() == "beside":
        low, high = ax.get_xlim()
        ax.set_xlim(low, low + (high - low) / (1 + BESIDE))
    if legend is not None:
        legend.remove()


def thinned(scene: Scene) -> str:
    """In words, how many of the rows are drawn, where not all are, and how many the fit has not seen the like of."""
    if not scene.has_rows:
        return ""
    drawn, n = len(scene.shown), len(scene.resp)
    words = [f"{drawn:,} of {n:,} rows drawn"] if drawn < n else []
    return "; ".join([*words, *filter(None, [beyond(scene)])])


def beyond(scene: Scene) -> str:
    """In words, how many rows have their responsibilities from the edge of what the fit saw."""
    return f"rows beyond the fit's: {scene.n_beyond:,}, shared out as at its edge" if scene.n_beyond else ""


def entitle(ax: Axes, name: str, *notes: str) -> None:
    """A title with notes beneath, wrapped to the width of the axes."""
    most = _letters(ax, ax.title)
    ax.set_title("\n".join([*(wrap(name, most) or [name]), *wrap("; ".join(note for note in notes if note), most)]))


def _letters(ax: Axes, text: Text) -> int:
    """Letters of this text that the width of the axes holds."""
    return max(int(LETTERS * ax.bbox.width / ax.figure.dpi / float(text.get_fontsize())), 24)
