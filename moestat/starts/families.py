"""Families of starting partitions: what each proposes as responsibilities on a sketch.

No family wins everywhere, so the default goes round all of them. They see weighted distinct rows only
(see `moestat.sketch`), so that a weight and a repetition are the same to them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moestat.data import Block
from moestat.sketch import line_residuals, random_rows
from moestat.typing import BoolArray, FloatArray, IntArray

#: Steps of k-means and of clusterwise regression: a start need not be the best partition.
PARTITION_STEPS = 10

#: Responsibility of a row's own expert when a family proposes labels; the others share the rest.
OWN_SHARE = 0.9

# What a sketch and shares (K, n) of its rows leave of every row: squared residuals (K, n) of lines, or of the curves of
# experts that have no lines.
Residuals = Callable[[Block, FloatArray], FloatArray]

# A family maps (sketch, number of experts, rng, residuals) to responsibilities (K, n).
Family = Callable[[Block, int, np.random.Generator, Residuals], FloatArray]


def local_lines(
    sketch: Block, n_experts: int, rng: np.random.Generator, residuals: Residuals = line_residuals
) -> FloatArray:
    """Least-squares lines, or curves, through random small neighbourhoods; rows join the one they are nearest to."""
    return soften(_nearest_line(sketch, _neighbourhoods(sketch, n_experts, rng), residuals), n_experts)


def elemental(
    sketch: Block, n_experts: int, rng: np.random.Generator, residuals: Residuals = line_residuals
) -> FloatArray:
    """Lines, or curves, through as few random rows as determine a line; rows join the one they are nearest to."""
    size = min(sketch.weight.size, sketch.X.shape[0] + 1)
    groups = [random_rows(sketch, size, rng) for _ in range(n_experts)]
    return soften(_nearest_line(sketch, groups, residuals), n_experts)


def soft_labels(
    sketch: Block, n_experts: int, rng: np.random.Generator, residuals: Residuals = line_residuals
) -> FloatArray:
    """Random labels, softened."""
    return soften(rng.integers(n_experts, size=sketch.weight.size), n_experts)


def hard_labels(
    sketch: Block, n_experts: int, rng: np.random.Generator, residuals: Residuals = line_residuals
) -> FloatArray:
    """Random labels, taken at their word."""
    return soften(rng.integers(n_experts, size=sketch.weight.size), n_experts, own=1.0)


def clusters(
    sketch: Block, n_experts: int, rng: np.random.Generator, residuals: Residuals = line_residuals
) -> FloatArray:
    """k-means on covariates and response together, taken at its word: a far cloud's share would tilt every line."""
    points = np.vstack([sketch.X[1:], sketch.Z[1:], sketch.Y])
    centres = points[:, random_rows(sketch, n_experts, rng)]
    for _ in range(PARTITION_STEPS):
        centres = _centres(points, _one_hot(_nearest(points, centres), n_experts) * sketch.weight, centres)
    return soften(_nearest(points, centres), n_experts, own=1.0)


def cells(sketch: Block, n_experts: int, rng: np.random.Generator, residuals: Residuals = line_residuals) -> FloatArray:
    """Cells of the gate's covariates around random rows (of the response, where the gate has none)."""
    points = sketch.Z[1:] if sketch.Z.shape[0] > 1 else sketch.Y
    return soften(_nearest(points, points[:, random_rows(sketch, n_experts, rng)]), n_experts)


def segmented_lines(
    sketch: Block, n_experts: int, rng: np.random.Generator, residuals: Residuals = line_residuals
) -> FloatArray:
    """Clusterwise regression with centres: rows join the expert whose line and whose place both fit.

    Hard assignments, least squares for the experts and means for the gate, in turn (k-planes with k-means).
    """
    places, n = sketch.Z[1:], sketch.weight.size
    labels = _nearest_line(sketch, _neighbourhoods(sketch, n_experts, rng), residuals)
    share = _one_hot(labels, n_experts) * sketch.weight
    centres = places[:, random_rows(sketch, n_experts, rng)]
    everyone = np.broadcast_to(sketch.weight, (1, n))
    spread = max(float(sketch.weight @ line_residuals(sketch, everyone)[0]) / sketch.weight.sum(), 1e-300)
    for _ in range(PARTITION_STEPS):
        centres = _centres(places, share, centres)
        away = ((places[:, None, :] - centres[:, :, None]) ** 2).sum(axis=0)
        labels = (residuals(sketch, share) / spread + away / max(len(places), 1)).argmin(axis=0)
        share = _one_hot(labels, n_experts) * sketch.weight
    return soften(share.argmax(axis=0), n_experts)


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (local_lines, soft_labels, clusters, elemental, cells, hard_labels, segmented_lines)
}

#: Families that make sense for class labels: lines through label codes do not.
CATEGORICAL_FAMILIES = ("soft_labels", "cells", "hard_labels")


def soften(labels: IntArray, n_experts: int, own: float = OWN_SHARE) -> FloatArray:
    """Responsibilities (K, n) that give each row's own expert the share ``own``."""
    rest = (1.0 - own) / max(n_experts - 1, 1)
    return np.where(_one_hot(labels, n_experts), own, rest)


def _one_hot(labels: IntArray, n_experts: int) -> BoolArray:
    return np.asarray(labels == np.arange(n_experts)[:, None])


def _nearest(points: FloatArray, centres: FloatArray) -> IntArray:
    """Index of the centre (d, K) nearest to each point (d, n)."""
    distance = 0.5 * (centres**2).sum(axis=0)[:, None] - centres.T @ points
    nearest: IntArray = distance.argmin(axis=0)
    return nearest


def _centres(points: FloatArray, share: FloatArray, old: FloatArray) -> FloatArray:
    """Weighted means (d, K) of points (d, n); a cluster without rows keeps its centre."""
    mass = share.sum(axis=1)
    return np.where(mass > 0, points @ share.T / np.where(mass > 0, mass, 1.0), old)


def _neighbourhoods(sketch: Block, n_experts: int, rng: np.random.Generator) -> list[IntArray]:
    """Rows around a random row for each expert, a quarter of its fair share of the weight."""
    least, fair = sketch.X.shape[0] + 2, sketch.weight.sum() / (4 * n_experts)
    groups = []
    for centre in random_rows(sketch, n_experts, rng):
        distance = ((sketch.X - sketch.X[:, [centre]]) ** 2).sum(axis=0)
        order = np.argsort(distance, kind="stable")
        size = max(least, int(np.searchsorted(np.cumsum(sketch.weight[order]), fair)) + 1)
        groups.append(order[:size])
    return groups


def _nearest_line(sketch: Block, groups: list[IntArray], residuals: Residuals) -> IntArray:
    """For each row, the group whose least-squares line, or curve, passes nearest."""
    share = np.zeros((len(groups), sketch.weight.size))
    for own, rows in zip(share, groups, strict=True):
        own[rows] = sketch.weight[rows]
    nearest: IntArray = residuals(sketch, share).argmin(axis=0)
    return nearest
