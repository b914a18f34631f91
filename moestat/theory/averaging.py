"""Where a distance of conditional densities is looked at: covariates with weights, or draws of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from moestat.errors import InputError
from moestat.typing import FloatArray

#: Most covariates for a product rule, and panels per covariate of it, by their number.
QUADRATURE_PANELS = {0: 1, 1: 48, 2: 10}

#: Nodes of a panel.
NODES = 8

#: Beyond these a standard normal covariate has no mass that a sum would notice.
NORMAL_RANGE = 8.5


class Nodes(NamedTuple):
    """Rows X (n, d) with weights (n,) that add up to one; ``drawn`` says that they are a sample."""

    X: FloatArray
    weights: FloatArray
    drawn: bool


def nodes_of(covariates: Any, d: int, n_draws: int, rng: np.random.Generator, finer: int = 1) -> Nodes:
    """Nodes for d covariates of a law by its name, of a function ``(rng, n)``, or the rows that are given.

    Laws by name have a composite Gauss rule for up to two covariates, with ``finer`` times as many panels each.
    """
    if isinstance(covariates, str):
        if covariates not in ("uniform", "normal"):
            raise InputError(
                "covariates must be 'uniform', 'normal', rows of covariates or a function (rng, n); got "
                f"{covariates!r}."
            )
        if d in QUADRATURE_PANELS:
            return _product_rule(covariates, d, finer * QUADRATURE_PANELS[d])
        draw = rng.random if covariates == "uniform" else rng.standard_normal
        return _equal(draw((n_draws, d)), drawn=True)
    rows = covariates(rng, n_draws) if isinstance(covariates, Callable) else covariates  # type: ignore[arg-type]
    X = np.asarray(rows, dtype=np.float64)
    X = X[:, None] if X.ndim == 1 else X
    if X.ndim != 2 or X.shape[1] != d or not len(X) or not np.isfinite(X).all():
        raise InputError(f"covariates must be finite rows with {d} columns, those of the model; got shape {X.shape}.")
    return _equal(X, drawn=callable(covariates))


def _equal(X: FloatArray, drawn: bool) -> Nodes:
    return Nodes(X, np.full(len(X), 1.0 / len(X)), drawn)


def _product_rule(law: str, d: int, panels: int) -> Nodes:
    ends = (
        np.linspace(0.0, 1.0, panels + 1) if law == "uniform" else np.linspace(-NORMAL_RANGE, NORMAL_RANGE, panels + 1)
    )
    x, w = gauss(ends[:-1], ends[1:], NODES)
    x, w = x.ravel(), w.ravel()
    if law == "normal":
        w = w * norm.pdf(x)
    X = np.array(list(product(x, repeat=d))).reshape(-1, d)
    weights = np.array([np.prod(each) for each in product(w, repeat=d)])
    return Nodes(X, weights / weights.sum(), drawn=False)


def gauss(low: FloatArray, high: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights (..., n) of Gauss rules on intervals."""
    x, w = np.polynomial.legendre.leggauss(n)
    half = 0.5 * (high - low)[..., None]
    return 0.5 * (high + low)[..., None] + half * x, half * w
