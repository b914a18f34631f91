"""Other programs' times over ours, as bars on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

#: Measurements of the picture: their programs, and a grey for each.
PROGRAMS = {
    "em-numpy": ("NumPy, one EM pass", "0.25"),
    "em-numpy-20": ("NumPy, one EM pass", "0.25"),
    "em-numpy-100": ("NumPy, one EM pass", "0.25"),
    "em-scikit-learn": ("scikit-learn, one EM iteration", "0.35"),
    "fit-numpy": ("NumPy, whole fit", "0.45"),
    "fit-scikit-learn": ("scikit-learn, whole fit", "0.6"),
    "fit-flexmix": ("flexmix, whole fit", "0.75"),
    "fit-flexmix-constant": ("flexmix, constant gate", "0.85"),
    "fit-mixtools": ("mixtools, constant gate", "0.95"),
}


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """A bar for every case, from the first measurement down; the vertical line is moestat."""
    bars = [
        (*PROGRAMS[result["key"]], found["case"], found["value"])
        for result in results
        if result["key"] in PROGRAMS
        for found in result["found"]
    ]
    if not bars:
        return
    with plt.style.context(["default"]):
        figure, axes = plt.subplots(figsize=(8.0, 0.6 + 0.26 * len(bars)), layout="constrained")
        for place, (program, grey, _, value) in enumerate(bars):
            axes.barh(place, value - 1.0, left=1.0, color=grey, edgecolor="black", linewidth=0.6, height=0.72)
            axes.text(1.06 * max(value, 1.0), place, f"{value:.3g}", va="center", fontsize=8)
            if place == 0 or bars[place - 1][0] != program:
                axes.axhline(place - 0.5, color="0.8", linewidth=0.6)
        labels = [f"{program}:  {case}" for program, _, case, _ in bars]
        axes.set_yticks(range(len(bars)), labels, fontsize=8)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(0.9 * min(1.0, *(value for *_, value in bars)), 2.2 * max(value for *_, value in bars))
        axes.axvline(1.0, color="black", linewidth=1.2)
        axes.set_xlabel("time of the other program / time of moestat, one thread")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", which="major", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        figure.savefig(path, dpi=150)
        plt.close(figure)
