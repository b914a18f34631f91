"""Responsibilities of the rows: how well the experts are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import InputError
from moestat.plotting.looks import drawing, hatched
from moestat.plotting.marks import beyond, entitle
from moestat.plotting.picture import picture
from moestat.plotting.rows import scene_of
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from moestat.results import Results

#: Columns of the strip: more cannot be told apart on a page.
COLUMNS = 600

#: Share of the rows from which on an expert's part of the strip is numbered.
NUMBERED = 0.03


@picture
def plot_responsibilities(
    results: Results,
    X: Any = None,
    y: Any = None,
    Z: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Every row as a thin column, divided by its responsibilities, the rows sorted by their likeliest expert.

    Well separated experts give blocks with upright sides. Where they overlap the sides are slopes: rows that two
    experts share. The title says the entropy, in nats and as a share of the largest possible, that of rows which
    could be of any expert.

    Parameters
    ----------
    results : Results
    X, y, Z, offset, exposure : array-like, optional
        Rows to show; those of the fit when left out. A formula's fit takes a data frame as X.
    ax : Axes, optional
        Where to draw; the current axes when left out.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        When there are no rows: a loaded fit holds none.
    """
    if not results.has_density:
        raise InputError("a least squares fit knows no law of the response, so there are no responsibilities to show.")
    scene = scene_of(results, X, y, Z, offset, exposure)
    if not scene.has_rows:
        raise InputError("plot_responsibilities needs rows: pass X and y; a loaded fit holds none.")
    resp, weight = scene.resp, scene.weight
    with drawing(ax) as ax:
        order = sorted_rows(resp)
        edges = np.concatenate([[0.0], np.cumsum(weight[order])])
        heights = _columns(resp[order], edges)
        base = np.zeros(len(heights))
        x = np.linspace(0.0, edges[-1], len(heights) + 1)
        for k in range(resp.shape[1]):
            top = base + heights[:, k]
            ax.fill_between(x, np.append(base, base[-1]), np.append(top, top[-1]), step="post", lw=0.4, **hatched(k))
            base = top
        _number(ax, resp, weight)
        ax.set(xlim=(0, edges[-1]), ylim=(0, 1), ylabel="responsibility")
        ax.set_xlabel("rows, sorted by their likeliest expert")
        entitle(ax, "Responsibilities", _entropy(resp, weight), beyond(scene))
    return ax


def sorted_rows(resp: FloatArray) -> Any:
    """Order of the rows: by likeliest expert, and within one from those it shares with the one before to the next."""
    K = resp.shape[1]
    likeliest = resp.argmax(axis=1)
    before = np.take_along_axis(np.pad(resp, ((0, 0), (1, 1))), likeliest[:, None], axis=1)[:, 0]
    after = np.take_along_axis(np.pad(resp, ((0, 0), (0, 2)))[:, 1 : K + 2], likeliest[:, None], axis=1)[:, 0]
    return np.lexsort((after - before, likeliest))


def _columns(resp: FloatArray, edges: FloatArray) -> FloatArray:
    """Mean responsibilities in columns of one width, (C, K)."""
    count = min(COLUMNS, max(len(resp), 1))
    cumulated = np.vstack([np.zeros(resp.shape[1]), np.cumsum(resp * np.diff(edges)[:, None], axis=0)])
    x = np.linspace(0.0, edges[-1], count + 1)
    at = np.stack([np.interp(x, edges, column) for column in cumulated.T], axis=1)
    return np.diff(at, axis=0) / np.diff(x)[:, None]


def _number(ax: Axes, resp: FloatArray, weight: FloatArray) -> None:
    """The experts' numbers in the middle of their parts."""
    K = resp.shape[1]
    mass = np.bincount(resp.argmax(axis=1), weight, K)
    middle = np.cumsum(mass) - 0.5 * mass
    for k in np.flatnonzero(mass > NUMBERED * mass.sum()):
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.9}
        ax.text(middle[k], 0.5, str(k + 1), ha="center", va="center", bbox=box)


def _entropy(resp: FloatArray, weight: FloatArray) -> str:
    """Entropy in words."""
    K = resp.shape[1]
    if K == 1:
        return "one expert has all rows"
    logs = np.log(np.where(resp > 0, resp, 1.0))
    entropy = max(0.0, float(-(weight[:, None] * resp * logs).sum()))  # a sum of nothing but zeros is minus zero
    share = entropy / (weight.sum() * np.log(K))
    return f"entropy {entropy if entropy >= 1e-6 else 0:.3g} nats, {share:.0%} of the largest"
