"""Rays to infinity: how far the likelihood can still rise along them, and which rows part company in the limit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from moestat.solvers.newton import ROUNDOFF
from moestat.solvers.problem import Problem
from moestat.terms import Tile
from moestat.typing import FloatArray

#: Steps along the combined ray, in working coordinates; each is four times as long as the one before.
STEPS = 0.1 * 4.0 ** np.arange(6)

#: A gate weight beyond which an expert has a row for itself.
DECIDED = 0.99

#: A gate weight that is one but for the digits that its derivatives are lost in.
STEP = 1.0 - 1e-9


@dataclass(frozen=True)
class Ray:
    """Supremum along the rays (working units), whether it was approached from below, and the limiting partition."""

    limit: float
    monotone: bool
    partition: tuple[float, ...]


class Partition:
    """Weight of the rows that the gate gives to one expert alone, and of those it shares out; an additive record."""

    def __init__(self, n_experts: int, least: float = DECIDED) -> None:
        self._least = least
        self.decided = np.zeros(n_experts)
        self.shared = 0.0

    def add(self, tile: Tile) -> None:
        """Add one tile."""
        mine = self._least < tile.PI
        self.decided += mine @ tile.block.weight
        self.shared += float(tile.block.weight[~mine.any(axis=0)].sum())

    def merge(self, later: Partition) -> None:
        """Add that of later tiles."""
        self.decided += later.decided
        self.shared += later.shared


def is_step(problem: Problem, theta: FloatArray) -> bool:
    """Whether the gate gives every row whole to one expert, as far as digits go, and not all to the same."""
    rows = problem.passes.reduce(partial(Partition, problem.passes.terms.n_experts, STEP), theta)
    return bool(rows.shared == 0.0 and (rows.decided > 0).sum() > 1)


def gains(problem: Problem, theta: FloatArray, steps: FloatArray) -> list[bool]:
    """Whether each step (f, P) raises the log-likelihood beyond round-off."""
    if not len(steps):
        return []
    here = problem.passes.loglik(theta)
    moved = (problem.move(theta, step) for step in steps)
    return [problem.passes.loglik(there) - here > _roundoff(problem, here) for there in moved]


def follow(problem: Problem, theta: FloatArray, directions: FloatArray, left: float) -> Ray:
    """Follow the sum of the uphill directions (f, P); ``left`` is the gain per row that local curvature promises."""
    here = problem.passes.loglik(theta)
    if not len(directions):
        return Ray(here, True, ())
    ray = directions.sum(axis=0)
    values = np.array([here] + [problem.passes.loglik(problem.move_inside(theta, t * ray)) for t in STEPS])
    values[np.isnan(values)] = -np.inf  # too far for double precision
    best = float(values.max())
    # beyond its best point the straight ray leaves the curved one that the other parameters would follow
    rising = values[: int(values.argmax()) + 1]
    monotone = bool((np.diff(rising) >= -_roundoff(problem, here)).all()) and rising.size > 1
    rows = problem.passes.reduce(
        partial(Partition, problem.passes.terms.n_experts), problem.move(theta, STEPS[0] * ray)
    )
    limit = max(best, here + left * problem.total_weight)
    return Ray(limit, monotone, (*rows.decided.tolist(), rows.shared))


def _roundoff(problem: Problem, loglik: float) -> float:
    return ROUNDOFF * max(problem.total_weight, abs(loglik))
