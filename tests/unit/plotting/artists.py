"""What was drawn: the artists of a figure, and fits to draw."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from matplotlib.text import Text

import moestat as ms


def curves(ax):
    """Lines of the experts: those with a label of their own."""
    return [line for line in ax.lines if not line.get_label().startswith("_")]


def collections(ax, gid):
    """What was drawn under a name: rows, bands, spreads."""
    return [c for c in ax.collections if c.get_gid() == gid]


def points(ax):
    """Places of the rows, in no order."""
    return np.vstack([c.get_offsets() for c in collections(ax, "rows")])


def in_order(rows):
    """Rows sorted, for a comparison of sets."""
    rows = np.asarray(rows, dtype=float)
    return rows[np.lexsort(rows.T)]


def edges(collection):
    """Lower and upper edge of a filled area, along its places."""
    vertices = collection.get_paths()[0].vertices
    places = np.unique(vertices[:, 0])
    at = [vertices[vertices[:, 0] == place, 1] for place in places]
    return places, np.array([values.min() for values in at]), np.array([values.max() for values in at])


def title(ax):
    return ax.get_title(loc="left") or ax.get_title()


def texts(fig):
    """Text with its place on the page, as far as it is drawn."""
    beyond = {label for ax in fig.axes for axis in (ax.xaxis, ax.yaxis) for label in _labels_beyond(axis)}
    shown = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in beyond]
    return [(t.get_text(), t.get_window_extent()) for t in shown]


def _labels_beyond(axis):
    """Labels of ticks beyond the range of an axis, which are not drawn."""
    low, high = axis.get_view_interval()
    return [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]


# --------------------------------------------------------------------------------------- rows and fits
@cache
def planes(n=240):
    """Three experts whose gate has two covariates; a category shifts them."""
    rng = np.random.default_rng(5)
    z, x, g = rng.normal(size=(n, 2)), rng.uniform(-2, 2, n), rng.choice(["a", "b", "c"], n, p=[0.3, 0.5, 0.2])
    logits = np.column_stack([2 * z[:, 0], -1.5 * z[:, 0] + 2 * z[:, 1], -2 * z[:, 1]])
    k = (logits + rng.gumbel(size=(n, 3))).argmax(axis=1)
    mean = np.array([1.0, -3.0, 4.0])[k] + np.array([1.0, 0.3, -1.0])[k] * x + np.where(g == "c", 1.0, 0.0)
    return pd.DataFrame({"x": x, "g": g, "z1": z[:, 0], "z2": z[:, 1], "y": mean + rng.normal(0, 0.5, n)})


@cache
def formula(text="y ~ x + g | z1 + z2", n_experts=3, **model):
    """A fit of `planes` by a formula."""
    return ms.moe(text, planes(), n_experts=n_experts, **model).fit(n_starts=6)


@cache
def bare():
    """A fit without covariates."""
    return ms.moe("waiting ~ 1 | 1", ms.datasets.load("faithful").frame).fit(n_starts=3)


@cache
def voters(text="party ~ selfLR | income"):
    """A fit of classes by a formula."""
    return ms.moe(text, ms.datasets.load("anes96").frame, expert="multinomial").fit(n_starts=3)


@cache
def searched():
    """Thirty starts that end at several solutions."""
    data = ms.datasets.load("ethanol")
    return ms.fit(ms.MixtureOfExperts(n_experts=3), data.X, data.y, n_starts=30)


def several_kinds():
    """Starts written by hand: two solutions, a spike, and one that was not finished."""
    kinds = ["strict interior maximum"] * 4 + ["maximum behind a few rows (a spike)", "not finished"]
    reached = [bare().llf, bare().llf, bare().llf - 6.0, bare().llf - 6.0, bare().llf + 2.0, None]
    families = ["clusters", "cells", "cells", "elemental", "clusters", "elemental"]
    rows = zip(families, reached, kinds, strict=True)
    return replace(
        bare(),
        _starts=[{"family": f, "loglik_short": bare().llf - 9.0, "loglik": ll, "status": kind} for f, ll, kind in rows],
    )


def reloaded(results, folder):
    """The same results without rows."""
    return ms.load(results.save(folder / "fit"))
