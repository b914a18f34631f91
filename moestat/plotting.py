"""Figures of a fit; matplotlib axes in and out."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from moestat.certificate import Status
from moestat.errors import InputError
from moestat.results import Results
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Line styles by expert, so that figures survive without colour.
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (5, 2, 1, 2)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)

#: What the marks of `plot_class` mean.
CLASS_CAPTION = (
    "Dots: the rows, above when in the class and below when not, coloured by responsibility.\n"
    "Circles: observed share of the class among an expert's rows; the area follows their number."
)

#: Points along a curve.
GRID = 200


def colours(n: int) -> list[str]:
    """Colours of the experts, in order."""
    with style():
        cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    return [cycle[k % len(cycle)] for k in range(n)]


def style() -> Any:
    """The package's matplotlib style, as a context manager."""
    with as_file(files("moestat") / "moestat.mplstyle") as path:
        return plt.style.context(str(path))


def plot_fit(results: Results, X: Any, y: Any, Z: Any = None, *, offset: Any = None, title: str = "") -> Figure:
    """Experts over the data, points coloured by responsibility, gate weights beneath.

    Parameters
    ----------
    results : Results
    X, y, Z : array-like
        The rows to show, as they were fitted. Curves run along the first covariate of X, and of the gate;
        other covariates stay at their means.
    title : str

    Returns
    -------
    matplotlib Figure
    """
    with style():
        classes = results.schema.classes
        if classes is None:
            figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 7), height_ratios=(3, 1.3))
            plot_experts(results, X, y, Z, offset=offset, ax=top)
            plot_gate(results, X, Z, ax=bottom)
        else:
            figure = plt.figure(figsize=(max(3.4 * len(classes), 7), 6.8))
            grid = figure.add_gridspec(2, len(classes), height_ratios=(2.2, 1.3))
            first = None
            for c, label in enumerate(classes):
                first = figure.add_subplot(grid[0, c], sharey=first)
                plot_class(results, label, X, y, Z, ax=first)
                if c:
                    first.set_ylabel("")
                    first.tick_params(labelleft=False)
            plot_gate(results, X, Z, ax=figure.add_subplot(grid[1, :]))
            figure.supxlabel(CLASS_CAPTION, x=0.02, ha="left", fontsize=9, color="0.3")
        if title:
            figure.suptitle(title, x=0.02, ha="left")
    return figure


def plot_experts(
    results: Results, X: Any, y: Any, Z: Any = None, *, offset: Any = None, ax: Axes | None = None
) -> Axes:
    """Expert means over the data with bands of two standard deviations; points mix the experts' colours."""
    if results.schema.classes is not None:
        raise InputError("plot_experts shows numerical responses; use plot_class for one class of this model.")
    with style():
        ax = plt.gca() if ax is None else ax
        K = results.model.n_experts
        x, grid, at = _along(X, results.schema.features)
        resp = results.responsibilities(X, y, Z, offset=offset)
        known = _known_term(results, offset, len(x))
        shown = np.asarray(y, dtype=float) - known + known.mean()  # all at the mean offset, as the lines are
        ax.scatter(x, shown, c=_mixed(resp), s=26, edgecolor="0.3", linewidth=0.4, zorder=2)
        means = results.expert_means(at, _at_means(Z, len(grid)), offset=known.mean())
        spread = _standard_deviations(results)
        for k, colour in enumerate(colours(K)):
            ax.plot(grid, means[:, k], color=colour, ls=DASHES[k % len(DASHES)], label=f"expert {k + 1}", zorder=3)
            if spread is not None:
                low, high = means[:, k] - 2 * spread[k], means[:, k] + 2 * spread[k]
                ax.fill_between(grid, low, high, color=colour, alpha=0.12, lw=0, zorder=1)
        bands = ", bands: 2 standard deviations" if spread is not None else ""
        ax.set_title(f"Experts (points coloured by responsibility{bands})")
        ax.set_xlabel(_axis_label(results.schema.features))
        ax.set_ylabel(results.schema.responses[0])
        _fit_to_points(ax, shown)
        ax.legend()
    return ax


def plot_class(results: Results, label: Any, X: Any, y: Any, Z: Any = None, *, ax: Axes | None = None) -> Axes:
    """Probability of one class under each expert, with the rows above (in the class) and below (not).

    Circles are observed shares of the class among the rows of an expert, weighted by responsibility; their
    area follows the weight.
    """
    with style():
        ax = plt.gca() if ax is None else ax
        K, classes = results.model.n_experts, results.schema.classes
        if classes is None or label not in classes:
            raise InputError(f"label must be one of the classes {classes}; got {label!r}.")
        c = classes.index(label)
        x, grid, at = _along(X, results.schema.features)
        resp = results.responsibilities(X, y, Z)
        inside = np.asarray(y) == label
        jitter = np.random.default_rng(0).uniform(-1, 1, size=(2, len(x)))
        step = np.diff(np.unique(x)).min(initial=np.ptp(x) or 1.0)
        height = np.where(inside, 1.06, -0.06) + 0.035 * jitter[0]
        ax.scatter(x + 0.3 * step * jitter[1], height, c=_mixed(resp), s=5, lw=0, alpha=0.8, zorder=1)
        probability = results.expert_means(at, _at_means(Z, len(grid)))
        for k, colour in enumerate(colours(K)):
            ax.plot(grid, probability[:, k, c], color=colour, ls=DASHES[k % len(DASHES)], label=f"expert {k + 1}")
            for value, share, mass in _shares(x, inside, resp[:, k]):
                ax.scatter(value, share, s=260 * mass, facecolor="none", edgecolor=colour, lw=1.2, zorder=3)
        ax.set_ylim(-0.12, 1.12)
        ax.set_title(f"{results.schema.responses[0]}: {label}")
        ax.set_xlabel(_axis_label(results.schema.features))
        ax.set_ylabel("probability under each expert")
        if c == 0:
            ax.legend()
    return ax


def plot_gate(results: Results, X: Any, Z: Any = None, *, ax: Axes | None = None) -> Axes:
    """Gate weights along the gate's first covariate; ticks show where the rows are."""
    with style():
        ax = plt.gca() if ax is None else ax
        names = results.schema.gate_features
        source = X if Z is None else Z
        K = results.model.n_experts
        ax.set_title("Gate weights")
        ax.set_ylabel("weight")
        ax.set_ylim(-0.03, 1.03)
        if not names:
            ax.bar(range(1, K + 1), results.gate_weights(X, Z)[0], color=colours(K))
            ax.set_xticks(range(1, K + 1), [f"expert {k}" for k in range(1, K + 1)])
            return ax
        x, grid, at = _along(source, names)
        weights = results.gate_weights(Z=at) if Z is not None else results.gate_weights(at)
        for k, colour in enumerate(colours(K)):
            ax.plot(grid, weights[:, k], color=colour, ls=DASHES[k % len(DASHES)], label=f"expert {k + 1}")
        ax.plot(x, np.full(len(x), -0.02), "|", color="0.5", ms=5, zorder=0)
        ax.set_xlabel(_axis_label(names))
    return ax


def plot_starts(results: Results, *, ax: Axes | None = None) -> Axes:
    """Where every start ended, family by family, coloured by the kind of end point.

    Crosses are starts that a short run showed to be unpromising. The line marks the reported solution; starts far
    below it are drawn at the left edge.
    """
    with style():
        ax = plt.gca() if ax is None else ax
        table = results.starts
        reached = table["loglik"].fillna(table["loglik_short"]).to_numpy(dtype=float)
        least = _lower_edge(reached, results.llf)
        families = list(dict.fromkeys(table["family"]))
        rows = np.array([families.index(family) for family in table["family"]])
        spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(table))
        kinds = [status.value for status in Status if status.value in set(table["status"])]
        for kind, colour in zip([*kinds, "not finished"], [*colours(len(kinds)), "0.6"], strict=True):
            mine = (table["status"] == kind).to_numpy()
            marker = "x" if kind == "not finished" else "o"
            if mine.any():
                at = np.maximum(reached[mine], least), rows[mine] + spread[mine]
                ax.scatter(*at, s=28, marker=marker, color=colour, alpha=0.8, label=kind, zorder=2)
        ax.axvline(results.llf, color="0.4", lw=1, zorder=1)
        ax.set_yticks(range(len(families)), [family.replace("_", " ") for family in families])
        ax.set_ylim(len(families) - 0.5, -0.5)
        ax.set_xlabel("log-likelihood")
        ax.set_title(f"{results.certificate.n_reached} of {len(table)} starts reached the reported solution")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return ax


def _lower_edge(values: FloatArray, level: float) -> float:
    """Lowest log-likelihood shown: a few outliers must not squeeze the rest together."""
    low, middle = np.quantile(values, [0.1, 0.5])
    return float(max(values.min(), min(low, level) - 2.0 * max(middle - low, 1.0)))


def _known_term(results: Results, offset: Any, n: int) -> FloatArray:
    """The offset of every row, zero without one; a fit with an offset cannot be shown without."""
    if offset is None and results.source is not None and results.source.uses_offset:
        raise InputError("offset is needed: the model was fitted with one, and the points move with it.")
    return np.zeros(n) if offset is None else np.broadcast_to(np.asarray(offset, dtype=float), (n,))


def _along(source: Any, names: tuple[str, ...]) -> tuple[FloatArray, FloatArray, Any]:
    """Values of the first covariate, a grid over them, and rows at the grid with the others at their means."""
    import pandas as pd

    if not names:
        raise InputError("a figure along a covariate needs one; this model has none.")
    values = _columns(source)
    grid = np.linspace(values[:, 0].min(), values[:, 0].max(), GRID)
    at = np.tile(values.mean(axis=0), (GRID, 1))
    at[:, 0] = grid
    return values[:, 0], grid, pd.DataFrame(at, columns=list(names))


def _at_means(Z: Any, n: int) -> Any:
    if Z is None:
        return None
    return np.tile(_columns(Z).mean(axis=0), (n, 1))


def _columns(source: Any) -> FloatArray:
    """Rows by columns; a vector is one column."""
    return np.asarray(source, dtype=float).reshape(len(source), -1)


def _axis_label(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}\n(curves: other covariates at their means)"


def _mixed(resp: FloatArray) -> FloatArray:
    """Colours of points: the experts' colours mixed by responsibility, (n, 3)."""
    base = np.array([to_rgb(colour) for colour in colours(resp.shape[1])])
    return np.asarray(np.clip(resp @ base, 0.0, 1.0))


def _standard_deviations(results: Results) -> FloatArray | None:
    expert, K = results.params.expert, results.model.n_experts
    members = getattr(expert, "members", (expert,))
    known = [getattr(m, "variances", getattr(m, "variance", None)) for m in members]
    variances = [v for v in known if v is not None]
    return np.sqrt(np.broadcast_to(np.hstack(variances), K)) if len(variances) == len(known) else None


def _fit_to_points(ax: Axes, y: FloatArray) -> None:
    """Vertical limits that follow the data, not a line that leaves them."""
    margin = 0.12 * (np.ptp(y) or 1.0)
    ax.set_ylim(y.min() - margin, y.max() + margin)


def _shares(x: FloatArray, inside: Any, weight: FloatArray, bins: int = 8) -> list[tuple[float, float, float]]:
    """(place, weighted share inside, weight relative to the largest) by distinct value, or by bin."""
    values = np.unique(x)
    edges = np.quantile(x, np.linspace(0, 1, bins + 1)) if values.size > 2 * bins else np.append(values, np.inf)
    group = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    total = np.bincount(group, weight, len(edges) - 1)
    hits = np.bincount(group, weight * inside, len(edges) - 1)
    place = np.bincount(group, weight * x, len(edges) - 1)
    kept = total > 0.5
    top = total.max(initial=1.0)
    return [(place[i] / total[i], hits[i] / total[i], total[i] / top) for i in np.flatnonzero(kept)]
