"""One look for every figure: an expert has one colour, dash, marker and hatch everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Line styles by expert, so that figures survive without colour.
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (5, 2, 1, 2)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2, 4)),
    (0, (10, 2, 2, 2, 2, 2)),
)

#: Markers and hatches by expert, for the same reason.
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "||", "oo")


@cache
def _settings() -> Any:
    with as_file(files("moestat") / "moestat.mplstyle") as path:
        return mpl.rc_params_from_file(path, use_default_template=False)


def style(**changes: Any) -> AbstractContextManager[Any]:
    """The package's matplotlib style as a context, with changes; where it holds already, only the changes."""
    settings = _settings()
    within = plt.rcParams["axes.prop_cycle"] == settings["axes.prop_cycle"]
    if within and not changes:
        return nullcontext()  # axes within a figure keep the figure's letters
    chosen: Any = changes if within else {**settings, **changes}
    return plt.rc_context(chosen)


@contextmanager
def drawing(ax: Axes | None) -> Iterator[Axes]:
    """The axes to draw on in the package's style: those given, or the current ones."""
    with style():
        yield plt.gca() if ax is None else ax


def colours(n: int) -> list[str]:
    """Colours of the experts, in order."""
    cycle = _settings()["axes.prop_cycle"].by_key()["color"]
    return [cycle[k % len(cycle)] for k in range(n)]


def look(k: int) -> dict[str, Any]:
    """Colour and dashes of the line of expert k, counted from zero."""
    return {"color": colours(k + 1)[k], "ls": DASHES[k % len(DASHES)]}


def hatched(k: int) -> dict[str, Any]:
    """Face, edge and hatch of an area that belongs to expert k."""
    return {"facecolor": colours(k + 1)[k], "hatch": hatch(k), "edgecolor": "white"}


def hatch(k: int) -> str:
    """Hatch of expert k."""
    return HATCHES[k % len(HATCHES)]


def paler(colour: str, share: float) -> tuple[float, ...]:
    """The colour mixed with white."""
    return tuple(1.0 - share * (1.0 - part) for part in to_rgb(colour))


def marker(k: int) -> str:
    """Marker of expert k."""
    return MARKERS[k % len(MARKERS)]


def mixed(resp: FloatArray) -> FloatArray:
    """Colours of points: the experts' colours mixed by responsibility, (n, 3)."""
    base = np.array([to_rgb(colour) for colour in colours(resp.shape[1])])
    return np.asarray(np.clip(resp @ base, 0.0, 1.0))


def names(n: int) -> list[str]:
    """What the experts are called."""
    return [f"expert {k + 1}" for k in range(n)]
