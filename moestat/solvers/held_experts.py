"""What is maximised as a function of the gate alone, the experts' densities, or means, computed once."""

from __future__ import annotations

from math import fsum

from moestat.buffers import Buffers
from moestat.data import Block
from moestat.solvers.problem import Problem
from moestat.terms import Tile
from moestat.totals import Additive
from moestat.typing import FloatArray

#: Densities are kept up to so many numbers (128 MB); beyond, they are computed anew every time.
KEPT = 2**24


class Kept(Additive):
    """Blocks and their experts' densities."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Block, FloatArray]] = []

    def add(self, tile: Tile) -> None:
        """Add one tile."""
        self.blocks.append((tile.block, tile.E.copy()))


class HeldExperts:
    """Log-likelihoods at many gates with the experts of one point.

    Parameters
    ----------
    problem : Problem
    theta : ndarray (P,)
        Where the experts are held.
    """

    def __init__(self, problem: Problem, theta: FloatArray) -> None:
        self._passes = problem.passes
        self._fits = self._passes.terms.n_experts * self._passes.source.n_rows <= KEPT
        self._kept = self._passes.reduce(Kept, theta).blocks if self._fits else []
        self._buffers = Buffers()

    def loglik(self, theta: FloatArray) -> float:
        """Log-likelihood, or what stands for it, at theta, whose experts are those that are held; in working units."""
        if not self._fits:
            return self._passes.loglik(theta)
        terms, local = self._passes.terms, theta[self._passes.terms.gate_columns]
        return self._passes.level(fsum(terms.total(local, block, E, self._buffers) for block, E in self._kept))
