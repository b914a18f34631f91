"""Ticks that can be read: names of levels that do not cover each other, numbers with their power of ten."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.font_manager import FontProperties

    from moestat.plotting.scene import Line

#: Letters of a line from which on names are broken into two lines; where fewer fit they are written upwards.
NARROW = 8

#: Letters of a name that is written upwards; the middle of a longer one is left out.
UPRIGHT = 16

#: Share of the room of a level that its name may take; the rest is for a legend beside the levels.
FILLED = 0.77

#: Height of a line, times the size of its letters.
LINE = 1.1

#: Letters of a long number, with its distance to the next, besides those that it has in common with its neighbours.
LONG = 5

#: Powers of ten of numbers that are written out.
PLAIN = (-3, 5)


# --------------------------------------------------------------------------------------- levels
def name_levels(ax: Axes, line: Line) -> None:
    """Names at the levels: in one line or two if they fit, else upwards; of very many, some."""
    assert line.levels is not None
    words = [str(level) for level in line.levels]
    room = FILLED * ax.bbox.width / ax.figure.dpi / len(words)
    ax.set_xticks(line.places, words)
    font = ax.get_xticklabels()[0].get_fontproperties()
    widest = max(_width(word, font) / max(len(word), 1) for word in words)  # of letters
    if max(_width(word, font) for word in words) <= room:
        return
    most = int(room / widest) if widest > 0 else 0
    if most >= NARROW:
        folded = [in_two_lines(word, most) for word in words]
        if len(set(folded)) == len(set(words)):
            ax.set_xticks(line.places, folded)
            return
    short = [shortened(word, UPRIGHT) for word in words]
    told = short if len(set(short)) == len(set(words)) else words
    every = int(np.ceil(LINE * font.get_size_in_points() / 72 / room))
    ax.set_xticks(line.places[::every], told[::every], rotation=90)


def in_two_lines(word: str, most: int) -> str:
    """A name in at most two lines of so many letters, without its middle if it must be."""
    for length in range(2 * most, 0, -1):
        lines = wrap(shortened(word, length), most)
        if len(lines) <= 2:
            break
    return "\n".join(lines)


def shortened(word: str, most: int) -> str:
    """A name of at most so many letters: its middle is left out, for the ends tell names apart."""
    end = most // 2
    return word if len(word) <= most else f"{word[: most - end - 1]}…{word[len(word) - end :]}"


def _width(word: str, font: FontProperties) -> float:
    """Width of the longest line of a text in inches."""
    return max(text_to_path.get_text_width_height_descent(part, font, False)[0] for part in word.split("\n")) / 72


# --------------------------------------------------------------------------------------- numbers
class Numbers(ScalarFormatter):
    """Numbers with their power of ten, 1.2e6: a factor aside would be printed on the name of the axis."""

    def __init__(self, largest: float) -> None:
        super().__init__(useOffset=False, useMathText=False)
        power = int(np.floor(np.log10(largest))) if largest > 0 else 0
        self._power = 0 if PLAIN[0] <= power <= PLAIN[1] else power
        self.set_scientific(self._power != 0)
        self.set_powerlimits((self._power, self._power))

    def __call__(self, x: float, pos: int | None = None) -> str:
        """One of the ticks."""
        written = super().__call__(x, pos)
        return f"{written}e{self._power}" if self._power and x != 0 else written

    def get_offset(self) -> str:
        """Nothing aside."""
        return ""


def write_numbers(axis: Axis, places: FloatArray) -> None:
    """Ticks of an axis that shows these numbers: one way of writing, whatever part of them the axes show."""
    largest, span = float(np.abs(places).max(initial=0.0)), float(np.ptp(places))
    axis.set_major_formatter(Numbers(largest))
    if largest < 1e4 and largest <= 1e4 * span:
        return
    letters = LONG + (max(np.log10(largest / span), 0.0) if span > 0 else 0.0)  # those that all ticks share, and more
    room = axis.axes.bbox.width / axis.axes.figure.dpi / (letters * float(axis.label.get_fontsize()) / 72)
    axis.set_major_locator(MaxNLocator(int(np.clip(room, 1, 5))))
