"""The rows behind each expert: how many there are, and whether they are so few that they make a spike."""

from __future__ import annotations

import numpy as np

from moestat.solvers.problem import Problem
from moestat.terms import Terms, Tile
from moestat.typing import BoolArray, FloatArray, IntArray

#: Responsibility beyond which a row belongs to an expert.
OWN = 0.5

#: An expert on up to this many times as many distinct rows as it has parameters is a spike if its variance is small.
FEW = 3

#: A variance is small below this share of the largest expert's.
NARROW = 1e-2


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

    def _collect(self, seen: set[bytes], tile: Tile, rows: IntArray) -> None:
        block = tile.block
        for j in rows:
            seen.add(np.concatenate([block.X[:, j], block.Z[:, j], block.Y[:, j]]).tobytes())
            if len(seen) >= self._enough:
                return

    @property
    def few(self) -> IntArray:
        """Number of distinct rows of experts most of whose mass lies on their own rows; of the others, many."""
        concentrated = self._own_mass > 0.5 * self.mass
        pairs = zip(self._own, concentrated, strict=True)
        counts = [len(seen) if seen and whole else self._enough for seen, whole in pairs]
        return np.array(counts, dtype=np.int64)


def spikes(problem: Problem, theta: FloatArray, behind: RowsBehind) -> list[int]:
    """Experts (from 0) that are spikes.

    An expert meets as many rows as it has parameters at will; on a few more, it stands out by a variance far below
    the others'. Such maxima exist in every sample and say nothing about the data (McLachlan and Peel 2000, sec. 3.10).
    """
    terms = problem.passes.terms
    if terms.expert.categorical or terms.n_experts == 1:
        return []
    q = terms.expert_columns.shape[1]
    narrow = _narrow(problem, theta)
    return [k for k, rows in enumerate(behind.few) if rows <= q or (rows <= FEW * q and narrow[k])]


def _narrow(problem: Problem, theta: FloatArray) -> BoolArray:
    """Experts one of whose variances is small beside the largest expert's; variances are what has a floor."""
    terms = problem.passes.terms
    has_floor = np.isfinite(problem.floors)[terms.expert_columns]
    log_variance = np.where(has_floor, theta[terms.expert_columns], np.nan)
    known = np.isfinite(log_variance).all(axis=0)
    if not known.any():
        return np.zeros(terms.n_experts, dtype=bool)
    values = log_variance[:, known]
    out: BoolArray = (values < values.max(axis=0) + np.log(NARROW)).any(axis=1)
    return out
