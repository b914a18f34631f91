"""Weighted least squares of a scaled activation, y = s act(a'x + b), for starts.

A grid finds the bend along the least-squares slope; Gauss-Newton steps do the rest. Where s and the length of (a, b)
are one parameter too many, a step is the shortest of those that do.
"""

from __future__ import annotations

import numpy as np

from moestat.activations import Activation
from moestat.kernels.activations import activate, differentiate
from moestat.typing import FloatArray

#: Where the bend is looked for: steepness per standard deviation of the linear fit, and place.
STEEPNESS = (0.5, 1.5, 4.0)
PLACES = (-1.5, -0.75, 0.0, 0.75, 1.5)

#: Gauss-Newton steps, and what they add to the squared length of every derivative: a step that fails is shortened.
STEPS = 8
DAMPING = 1e-6
HARDER, EASIER = 100.0, 0.1


def fit_bend(activation: Activation, X: FloatArray, y: FloatArray, weight: FloatArray) -> tuple[FloatArray, float]:
    """The best coefficients found, and their weighted sum of squares.

    Parameters
    ----------
    activation : Activation
    X : ndarray (p, n)
        Covariates after a row of ones.
    y, weight : ndarray (n,)

    Returns
    -------
    coef : ndarray (p + 1,)
        Intercept, slopes, scale.
    rss : float
    """
    seen = weight > 0  # neighbourhoods are small
    X, y, weight = X[:, seen], y[seen], weight[seen]
    return _descend(activation, X, y, weight, *_best_of_grid(activation, X, y, weight))


def curve(activation: Activation, coef: FloatArray, X: FloatArray) -> FloatArray:
    """s act(a'x + b) at X (p, n), of coefficients as `fit_bend` gives them."""
    out = coef[:-1] @ X
    activate(activation.code, out, out)
    out *= coef[-1]
    return np.asarray(out)


def _best_of_grid(activation: Activation, X: FloatArray, y: FloatArray, weight: FloatArray) -> tuple[FloatArray, float]:
    root = np.sqrt(weight)
    slopes = np.linalg.lstsq((X * root).T, root * y, rcond=1e-7)[0][1:]
    along = slopes @ X[1:]
    mass = max(float(weight.sum()), 1e-300)
    centre = weight @ along / mass
    sd = np.sqrt(weight @ (along - centre) ** 2 / mass) or 1.0
    best, least = np.append(np.zeros(len(X)), 1.0), np.inf
    for steep in (*STEEPNESS, *(-one for one in STEEPNESS)):
        for place in PLACES:
            coef = np.append(steep / sd * np.append(-centre - place * sd, slopes), 1.0)
            value = curve(activation, coef, X)
            size = weight @ value**2
            coef[-1] = weight @ (value * y) / size if size > 0 else 0.0
            rss = float(weight @ (y - coef[-1] * value) ** 2)
            if rss < least:
                best, least = coef, rss
    best[-1] = best[-1] or 1.0
    return best, least


def _descend(
    activation: Activation, X: FloatArray, y: FloatArray, weight: FloatArray, coef: FloatArray, rss: float
) -> tuple[FloatArray, float]:
    """Gauss-Newton steps, damped as Levenberg and Marquardt do."""
    damping, J = DAMPING, np.empty((coef.size, y.size))
    value, slope, bend = np.empty((3, y.size))
    for _ in range(STEPS):
        differentiate(activation.code, coef[:-1] @ X, value, slope, bend)
        J[:-1] = coef[-1] * slope * X
        J[-1] = value
        gram, pull = (J * weight) @ J.T, J @ (weight * (y - coef[-1] * value))
        new = coef + np.linalg.lstsq(gram + damping * np.diag(np.diag(gram)), pull, rcond=1e-10)[0]
        found = float(weight @ (y - curve(activation, new, X)) ** 2)
        if found < rss:
            coef, rss, damping = new, found, damping * EASIER
        else:
            damping *= HARDER
    return coef, rss
