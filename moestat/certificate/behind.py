"""The rows behind each expert: how many there are, and whether they are so few that they make a spike."""

from __future__ import annotations

import numpy as np

from moestat.solvers.problem import Problem
from moestat.terms import Terms, Tile
from moestat.typing import FloatArray, IntArray

#: Responsibility beyond which a row belongs to an expert.
OWN = 0.5

#: Up to this many times as many distinct rows as an expert has parameters, they are few; and what share of the largest
#: variance is small for an expert on that many.
FEW = 3
SMALL_ON = ((2, 1e-1), (FEW, 1e-2))


class RowsBehind:
    """Mass of each expert, and the distinct rows that are its own, counted as far as a spike needs (additive)."""

    def __init__(self, terms: Terms) -> None:
        self._enough = FEW * int(terms.expert_columns.shape[1]) + 1
        self._own: list[set[bytes]] = [set() for _ in range(terms.n_experts)]
        self._own_mass = np.zeros(terms.n_experts)
        self.mass = np.zeros(terms.n_experts)

    def add(self, tile: Tile) -> None:
        """Add one tile."""
        self.mass += tile.R.sum(axis=1)
        own = tile.block.weight * OWN < tile.R
        self._own_mass += np.where(own, tile.R, 0.0).sum(axis=1)
        for seen, mine in zip(self._own, own, strict=True):
            if len(seen) < self._enough and mine.any():
                self._collect(seen, tile, np.flatnonzero(mine))

    def merge(self, later: RowsBehind) -> None:
        """Add those of later tiles."""
        self.mass += later.mass
        self._own_mass += later._own_mass
        for seen, others in zip(self._own, later._own, strict=True):
            seen |= others

    def _collect(self, seen: set[bytes], tile: Tile, rows: IntArray) -> None:
        block = tile.block
        for j in rows:
            seen.add(np.concatenate([block.X[:, j], block.Z[:, j], block.Y[:, j]]).tobytes())
            if len(seen) >= self._enough:
                return

    @property
    def few(self) -> dict[int, int]:
        """Experts (from 0) most of whose mass lies on few distinct rows of their own, and how many these are."""
        concentrated = self._own_mass > 0.5 * self.mass
        counts = enumerate(zip(self._own, concentrated, strict=True))
        return {k: len(seen) for k, (seen, whole) in counts if whole and 0 < len(seen) < self._enough}


def spikes(problem: Problem, theta: FloatArray, behind: RowsBehind) -> list[int]:
    """Experts (from 0) that are spikes.

    Only an expert whose own variance is free to sink can be one: it meets as many rows as it has parameters at will,
    and on a few rows more it stands out by a variance far below the others'. Such maxima exist in every sample and
    say nothing about the data (McLachlan and Peel 2000). Where variances are bounded, held or common, the
    likelihood is bounded too, and its highest maximum is what it is.
    """
    terms = problem.passes.terms
    if terms.expert.categorical or terms.n_experts == 1:
        return []
    q = terms.expert_columns.shape[1]
    share = _share_of_largest_variance(problem, theta)
    light = on_few_rows(problem, behind)
    return [
        k
        for k, rows in behind.few.items()
        if np.isfinite(share[k]) and ((rows <= q and k in light) or share[k] < _small_on(rows / q))
    ]


def on_few_rows(problem: Problem, behind: RowsBehind) -> dict[int, int]:
    """Experts (from 0) that rest on few distinct rows, which are no repetitions of many, and how many these are."""
    q, n_experts = problem.passes.terms.expert_columns.shape[1], problem.passes.terms.n_experts
    most = (FEW * q + 1) * problem.weight_of_a_row
    return {k: rows for k, rows in behind.few.items() if behind.mass[k] <= most and n_experts > 1}


def _small_on(rows: float) -> float:
    """What share of the largest variance is small on so many rows per parameter."""
    return next((share for most, share in SMALL_ON if rows <= most), 0.0)


def _share_of_largest_variance(problem: Problem, theta: FloatArray) -> FloatArray:
    """Each expert's smallest own, free variance as a share of the largest expert's; infinite where none can sink."""
    columns = problem.passes.terms.expert_columns
    sinks = np.isfinite(problem.floors) & problem.free
    own = sinks[columns] & (np.bincount(columns.ravel(), minlength=theta.size)[columns] == 1)
    log_variance = np.where(own, theta[columns], np.inf)
    smallest = log_variance.min(axis=1, initial=np.inf)
    known = np.isfinite(smallest)
    if not known.any():
        return np.full(len(columns), np.inf)
    return np.where(known, np.exp(np.minimum(smallest - smallest[known].max(), 0.0)), np.inf)
