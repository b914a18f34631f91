"""What every picture has in common: what goes in, and texts that are shown as they are written."""

from __future__ import annotations

import warnings
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import moestat as ms
from moestat import plotting
from tests.unit.fitted import fitted
from tests.unit.plotting.artists import planes

#: Texts that matplotlib would take for formulas, some of them for ones that it cannot read.
LEVELS = ("$10k_$20k", "$20k_$", "<$5 & >$1")
CLASSES = ("$a_$", "$b^$", r"\\$c_$")
COST, PRICE, GATE = "cost $a_ to $b", "$y_$", "z_$1 $^"
CRASHING = (*LEVELS, *CLASSES, COST, PRICE, GATE)


@cache
def dollars(classes=False):
    """A fit whose names, levels and classes hold dollar signs."""
    data = planes()
    level = data["g"].map(dict(zip("abc", LEVELS, strict=True)))
    labels = np.array(CLASSES)[np.argsort(np.argsort(data["y"])) * 3 // len(data)]
    table = pd.DataFrame({COST: data["x"], "g$_$": level, GATE: data["z1"], "z2": data["z2"]})
    table[PRICE] = labels if classes else data["y"]
    text = f"`{PRICE}` ~ `{COST}` + `g$_$` | `{GATE}` + z2"
    with warnings.catch_warnings(action="ignore", category=ms.MoestatWarning):
        return ms.moe(text, table, expert="multinomial" if classes else "gaussian").fit(n_starts=1)


DRAWN = {
    "experts": lambda: plotting.plot_experts(dollars()),
    "experts by level": lambda: plotting.plot_experts(dollars(), along="g$_$"),
    "class": lambda: plotting.plot_class(dollars(True), CLASSES[0]),
    "class by level": lambda: plotting.plot_class(dollars(True), CLASSES[2], along="g$_$"),
    "gate": lambda: plotting.plot_gate(dollars()),
    "plane": lambda: plotting.plot_gate_plane(dollars()),
    "density": lambda: plotting.plot_density(dollars()),
    "density by level": lambda: plotting.plot_density(dollars(), along="g$_$"),
    "density of classes": lambda: plotting.plot_density(dollars(True)),
    "density of classes by level": lambda: plotting.plot_density(dollars(True), along="g$_$"),
    "responsibilities": lambda: plotting.plot_responsibilities(dollars()),
    "starts": lambda: plotting.plot_starts(dollars()),
    "trace": lambda: plotting.plot_trace(dollars()),
    "fit": lambda: plotting.plot_fit(dollars(), title="$_$"),
    "fit of classes": lambda: plotting.plot_fit(dollars(True), title="$_$"),
    "page": lambda: dollars().plot(title="$_$"),
    "page by level": lambda: dollars().plot(title="$_$", along="g$_$"),
    "page of classes": lambda: dollars(True).plot(title="$_$"),
}


# --------------------------------------------------------------------------------------- texts
@pytest.mark.parametrize("name", list(DRAWN))
def test_dollar_signs_are_shown(name, tmp_path):
    """In every text that holds one; but the powers of a logarithmic axis are formulas."""
    drawn = DRAWN[name]()
    figure = getattr(drawn, "figure", drawn)
    figure.savefig(tmp_path / "drawn.png", dpi=40)
    ours = [text for text in figure.findobj(Text) if "$" in text.get_text() and "mathdefault" not in text.get_text()]
    assert not [text.get_text() for text in ours if text.get_parse_math()]
    assert bool(ours) == (name not in ("responsibilities", "starts", "trace"))


def test_powers_stay_formulas():
    ax = plotting.plot_trace(fitted("gate").results)
    ax.figure.canvas.draw()
    powers = [tick.label1 for tick in ax.yaxis.get_major_ticks() if "mathdefault" in tick.label1.get_text()]
    assert powers
    assert all(label.get_parse_math() for label in powers)


def test_texts_of_the_caller_stay_formulas():
    _, ax = plt.subplots()
    mine = ax.text(0, 0, "$x^2$")
    plotting.plot_experts(fitted("gate").results, ax=ax)
    assert mine.get_parse_math()
    ax.set_title("$x^2$", loc="left")
    assert ax._left_title.get_parse_math()


# --------------------------------------------------------------------------------------- what goes in
EVERY = {
    name: getattr(plotting, name) for name in plotting.__all__ if name.startswith("plot_") and name != "plot_class"
} | {"plot_class": lambda given, **named: plotting.plot_class(given, 1, **named)}
every_function = pytest.mark.parametrize("name", list(EVERY))


@every_function
def test_what_is_not_fitted_is_asked_to_be(name):
    for given in (ms.MoERegressor(), ms.moe("y ~ x", planes())):
        with pytest.raises(ms.InputError, match=r"has none yet: call \.fit\(\) first and pass its results"):
            EVERY[name](given)


@every_function
@pytest.mark.parametrize("given", [None, 3, "tone", np.zeros(2), ms.MixtureOfExperts()], ids=repr)
def test_what_is_no_fit_is_named(name, given):
    with pytest.raises(ms.InputError, match=f"results must be what a fit returned.*got {type(given).__name__}"):
        EVERY[name](given)


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"plot_fit", "plot_summary"}))
def test_one_axes_is_asked_for(name):
    figure, axes = plt.subplots(1, 2)
    with pytest.raises(ms.InputError, match=r"got 2 of them \(ndarray\): pass one of them"):
        EVERY[name](fitted("gate").results, ax=axes)
    with pytest.raises(ms.InputError, match="ax must be an Axes of matplotlib; got Figure"):
        EVERY[name](fitted("gate").results, ax=figure)


def test_a_fitted_estimator_is_drawn_by_its_results():
    f = fitted("gate")
    estimator = ms.MoERegressor(n_starts=1).fit(np.asarray(f.X), np.asarray(f.y))
    by_estimator, by_results = (plotting.plot_experts(given, ax=plt.figure().gca()) for given in (estimator, f.results))
    assert len(by_estimator.lines) == len(by_results.lines)
    assert len(plotting.plot_summary(estimator).axes) == 6
