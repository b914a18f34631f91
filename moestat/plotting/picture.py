"""What every picture has in common: a fit goes in, its axes are checked, and its texts are shown as they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FuncFormatter

from moestat.errors import InputError

if TYPE_CHECKING:
    from matplotlib.text import Text

    from moestat.results import Results

Draw = TypeVar("Draw", bound=Callable[..., Any])


def picture(draw: Draw) -> Draw:
    """A function that draws results, on axes or as a figure: for fitted estimators as well, with texts as written."""

    @wraps(draw)
    def drawn(results: Any, *args: Any, **named: Any) -> Any:
        _check_axes(named.get("ax"))
        out = draw(fit_of(results), *args, **named)
        _as_written(out)
        return out

    return cast(Draw, drawn)


def fit_of(given: Any) -> Results:
    """The results that were passed, or those of a fitted estimator."""
    found = getattr(given, "results_", given)
    if hasattr(found, "schema") and hasattr(found, "certificate"):  # results import pictures, not the other way
        return cast("Results", found)
    kind = type(given).__name__
    if type(given).__module__.partition(".")[0] == "moestat" and hasattr(given, "fit"):
        raise InputError(f"a picture shows a fit; this {kind} has none yet: call .fit() first and pass its results.")
    raise InputError(f"results must be what a fit returned, or a fitted estimator; got {kind}.")


def _check_axes(ax: Any) -> None:
    if ax is None or isinstance(ax, Axes):
        return
    if isinstance(ax, np.ndarray | list | tuple | dict):
        raise InputError(f"ax must be one Axes; got {len(ax)} of them ({type(ax).__name__}): pass one of them.")
    raise InputError(f"ax must be an Axes of matplotlib; got {type(ax).__name__}.")


# --------------------------------------------------------------------------------------- texts
def _as_written(drawn: Axes | Figure) -> None:
    """Show dollar signs: names, levels and classes are the caller's, and no formulas of TeX."""
    for text in (text for ax in _axes(drawn) for text in _texts(ax)):
        if "$" in text.get_text():  # others stay open to formulas, should the caller write some
            text.set_parse_math(False)
    for axis in (axis for ax in _axes(drawn) for axis in (ax.xaxis, ax.yaxis)):
        if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):  # names; numbers may be powers
            for tick in axis.get_major_ticks():
                tick.label1.set_parse_math(False)
                tick.label2.set_parse_math(False)
    if isinstance(drawn, Figure):
        for text in (*drawn.texts, drawn._suptitle, drawn._supxlabel):  # type: ignore[attr-defined]
            if text is not None:
                text.set_parse_math(False)


def _axes(drawn: Axes | Figure) -> list[Axes]:
    return drawn.axes if isinstance(drawn, Figure) else [drawn]


def _texts(ax: Axes) -> list[Text]:
    """Titles, names of the axes, and the legend; texts within the axes may be the caller's."""
    legend = ax.get_legend()
    titles = [getattr(ax, name) for name in ("title", "_left_title", "_right_title")]
    return [*titles, ax.xaxis.label, ax.yaxis.label, *(legend.get_texts() if legend is not None else [])]
