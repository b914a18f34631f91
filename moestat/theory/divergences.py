"""Divergences of two densities at one point of the covariates: integrals over the response.

Each is the integral of a function of the two log densities that is nowhere negative, so that a small divergence is as
exact as a large one. With l = log p and m = log q, of the truth and the fit,

    total variation          1/2 |e^l - e^m|
    squared Hellinger        1/2 (e^{l/2} - e^{m/2})^2
    Kullback-Leibler         e^l (l - m) - e^l + e^m

Normal responses are integrated over panels between multiples of every expert's standard deviation about its mean, as
finely as the narrowest asks for; |p - q| has kinks, so panels where p - q changes sign are halved until they vanish.
Classes and counts are summed. Other responses are drawn, from both laws in equal parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from moestat.errors import InputError
from moestat.model import MixtureOfExperts, MoEParams
from moestat.theory.averaging import gauss
from moestat.typing import FloatArray, IntArray

#: Where panels end, in standard deviations.
PANELS = np.array([0.0, 0.7, 1.5, 2.5, 4.0, 6.0, 9.0, 13.0])

#: Nodes of a panel, rows at a time, and halvings of a panel with a change of sign.
NODES, ROWS, HALVINGS = 12, 400_000, 45

#: Probability beyond the largest count that is summed, and the most counts there may be.
TAIL, LARGEST = 1e-14, 1_000_000

#: Responses drawn for each row of covariates where there is no rule.
DRAWS = 400

Integrand = Callable[[FloatArray, FloatArray], FloatArray]


class Law(NamedTuple):
    """A model with parameters."""

    model: MixtureOfExperts
    params: MoEParams

    def log_density(self, X: FloatArray, y: FloatArray) -> FloatArray:
        """log p(y | x) of rows; a response that the expert rules out has minus infinity."""
        return self.model.log_density(self.params, X, y)


def total_variation(l: FloatArray, m: FloatArray) -> FloatArray:
    high, low = np.maximum(l, m), np.minimum(l, m)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(high == -np.inf, 0.0, -0.5 * np.exp(high) * np.expm1(low - high)))


def squared_hellinger(l: FloatArray, m: FloatArray) -> FloatArray:
    high, low = np.maximum(l, m), np.minimum(l, m)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(high == -np.inf, 0.0, 0.5 * np.exp(high) * np.expm1(0.5 * (low - high)) ** 2))


def kullback_leibler(l: FloatArray, m: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", over="ignore"):
        u = l - m
        inside = np.where(u > -30.0, np.exp(l) * (u + np.expm1(-u)), np.exp(m) + np.exp(l) * (u - 1.0))
        return np.asarray(np.where(l == -np.inf, np.exp(m), inside))


def divergences(truth: Law, fitted: Law, X: FloatArray, integrand: Integrand, rng: np.random.Generator) -> FloatArray:
    """The integral over the response at every row (n,), or with draws (n, DRAWS) what is to be averaged."""
    expert = truth.model.expert
    if expert.categorical:
        return _summed_classes(truth, fitted, X, integrand)
    if expert.discrete:
        return _summed_counts(truth, fitted, X, integrand)
    if _is_normal(truth) and _is_normal(fitted):
        size = max(1, ROWS // (NODES * 2 * PANELS.size * (truth.model.n_experts + fitted.model.n_experts)))
        parts = [_integrated(truth, fitted, rows, integrand) for rows in _pieces(X, size)]
        return np.concatenate(parts)
    return _drawn(truth, fitted, X, integrand, rng)


def _pieces(X: FloatArray, size: int) -> list[FloatArray]:
    return [X[i : i + size] for i in range(0, len(X), size)]


# --------------------------------------------------------------------------------------- sums
def _summed_classes(truth: Law, fitted: Law, X: FloatArray, integrand: Integrand) -> FloatArray:
    counts = [len(law.model.schema_of(law.params).classes or ()) for law in (truth, fitted)]
    if counts[0] != counts[1]:
        raise InputError(f"fitted and truth must have the same classes; got {counts[1]} and {counts[0]}.")
    total = np.zeros(len(X))
    for code in range(counts[0]):
        y = np.full(len(X), code)
        total += integrand(truth.log_density(X, y), fitted.log_density(X, y))
    return total


def _summed_counts(truth: Law, fitted: Law, X: FloatArray, integrand: Integrand) -> FloatArray:
    total, mass = np.zeros(len(X)), np.zeros((2, len(X)))
    for count in range(LARGEST):
        y = np.full(len(X), float(count))
        logs = truth.log_density(X, y), fitted.log_density(X, y)
        total += integrand(*logs)
        mass += np.exp(logs)
        if (mass > 1.0 - TAIL * (count + 10)).all():
            return total
    raise InputError(f"counts beyond {LARGEST} have a probability that matters; scale the model down to compare laws.")


# --------------------------------------------------------------------------------------- normal experts
def _is_normal(law: Law) -> bool:
    expert = law.model.expert
    families = getattr(expert, "families", (expert,))
    return all(one.name == "gaussian" for one in families)


def _spreads(law: Law) -> FloatArray:
    """Standard deviations (K,) of normal experts."""
    records = getattr(law.params.expert, "members", (law.params.expert,))
    variances = [one.variances if hasattr(one, "variances") else one.variance for one in records]
    return np.asarray(np.sqrt(np.concatenate([np.atleast_1d(v) for v in variances])))


def _integrated(truth: Law, fitted: Law, X: FloatArray, integrand: Integrand) -> FloatArray:
    ends = np.sort(np.concatenate([_ends(truth, X), _ends(fitted, X)], axis=1), axis=1)
    low, high = ends[:, :-1].ravel(), ends[:, 1:].ravel()
    rows = np.repeat(np.arange(len(X)), ends.shape[1] - 1)
    wide = high > low
    rows, low, high = rows[wide], low[wide], high[wide]
    if integrand is not total_variation:
        values, _ = _panels(truth, fitted, X, rows, low, high, integrand)
        return np.bincount(rows, values, len(X)).astype(np.float64)
    total = np.zeros(len(X))
    for halving in range(HALVINGS):
        values, changes = _panels(truth, fitted, X, rows, low, high, integrand)
        changes = changes & (values > 1e-17) & (halving < HALVINGS - 1)
        total += np.bincount(rows[~changes], values[~changes], len(X))
        if not changes.any():
            break
        middle = 0.5 * (low + high)[changes]
        low, high = np.concatenate([low[changes], middle]), np.concatenate([middle, high[changes]])
        rows = np.tile(rows[changes], 2)
    return total


def _ends(law: Law, X: FloatArray) -> FloatArray:
    """Ends of panels (n, m): multiples of each expert's standard deviation about its mean."""
    steps = np.concatenate([-PANELS[:0:-1], PANELS])
    spread = np.broadcast_to(_spreads(law), (law.model.n_experts,))
    return np.asarray(
        (law.model.expert_means(law.params, X)[:, :, None] + spread[None, :, None] * steps).reshape(len(X), -1)
    )


def _panels(
    truth: Law, fitted: Law, X: FloatArray, rows: IntArray, low: FloatArray, high: FloatArray, integrand: Integrand
) -> tuple[FloatArray, Any]:
    """Integrals (m,) over panels of rows, and where the difference of the densities changes sign."""
    y, w = gauss(low, high, NODES)
    at = X[np.repeat(rows, NODES)]
    l, m = (law.log_density(at, y.ravel()).reshape(y.shape) for law in (truth, fitted))
    return (w * integrand(l, m)).sum(axis=1), (l > m).any(axis=1) & (l < m).any(axis=1)


# --------------------------------------------------------------------------------------- draws
def _drawn(truth: Law, fitted: Law, X: FloatArray, integrand: Integrand, rng: np.random.Generator) -> FloatArray:
    """Integrands over the density of the draws (n, DRAWS); half of the draws are each law's."""
    halves = []
    for law in (truth, fitted):
        at = np.repeat(X, DRAWS // 2, axis=0)
        y = law.model.sample(law.params, at, rng)
        l, m = truth.log_density(at, y), fitted.log_density(at, y)
        density = np.logaddexp(l, m) - np.log(2.0)
        halves.append((integrand(l, m) / np.exp(density)).reshape(len(X), -1))
    return np.concatenate(halves, axis=1)
