"""Directions of the parameter space in words."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from moestat.data import Block
from moestat.solvers.problem import Problem
from moestat.solvers.ties import Tie
from moestat.terms import Terms
from moestat.theory.flat import chosen
from moestat.theory.identifiability import why_flat
from moestat.typing import FloatArray, IntArray

#: Experts whose parameters differ by less than this (working coordinates) coincide.
SAME_ATOM = 1e-4

#: Covariates that say which row ties.
SHOWN = 3

#: Parameters beyond which no curve of equal densities is followed: its time grows like their cube.
MOST_PARAMETERS = 100

#: Rows that say whether, and why, a density stays as it is.
ROWS = 400

#: Share of a direction that must lie on some experts' own parameters for the words to speak of them.
MOST = 0.99


class Namer:
    """Says what a direction does to the experts of a fit, or lists its largest loadings."""

    def __init__(self, problem: Problem, theta: FloatArray, names: list[str], masses: FloatArray) -> None:
        self._names, self._theta = names, theta
        self._terms, self._source = problem.passes.terms, problem.passes.source
        self._empty = np.flatnonzero(masses < 1e-6 * problem.weight_of_a_row)

    def loadings(self, direction: FloatArray) -> str:
        """The largest loadings."""
        return in_words(direction, self._names)

    def flat(self, direction: FloatArray) -> str:
        """Why a direction is flat, as far as that is known, and its largest loadings.

        An expert without mass and experts that nearly coincide come first: of those the density moves a little.
        """
        few = in_words(direction, self._names, most=2)
        for k in self._empty:
            if self._share(direction, (int(k),)) > MOST:
                return f"expert {k + 1} has no mass, so its parameters may be anything: {few}"
        for pair in combinations(range(self._terms.n_experts), 2):
            if self._coincide(pair) and self._share(direction, pair) > MOST:
                return f"experts {pair[0] + 1} and {pair[1] + 1} coincide: {few}"
        why = self._why(direction)
        return f"{why}: {few}" if why else self.loadings(direction)

    def _why(self, direction: FloatArray) -> str | None:
        """The reason that following the direction gives, of a model with a density and not too many parameters."""
        if type(self._terms) is not Terms or self._theta.size > MOST_PARAMETERS:
            return None
        return why_flat(self._terms, self._theta, direction, self._some_rows(), self._names)

    def _some_rows(self) -> Block:
        """Rows on which densities are compared, each counted once."""
        block = next(iter(self._source.blocks()))
        rows = np.flatnonzero(block.weight > 0)[:ROWS]
        return chosen(block, rows)

    def tie(self, tie: Tie, gain: float) -> str:
        """The row, the experts that tie there, and what its crossing would gain."""
        raw = self._source.coordinates.Z.restore(tie.row.Z[1:])[:, 0]
        names = self._source.schema.gate_features
        at = ", ".join(f"{name} = {value:.6g}" for name, value in zip(names[:SHOWN], raw, strict=False))
        more = ", ..." if len(names) > SHOWN else ""
        loses, gets = (f"expert {k + 1}" for k in (tie.on, tie.off))
        change = (
            f"{loses} for {gets}"
            if min(tie.on, tie.off) >= 0
            else f"without {loses}"
            if tie.on >= 0
            else f"with {gets}"
        )
        return f"{change} at {at}{more}: {gain:+.3g} if the row crosses"

    def _share(self, direction: FloatArray, experts: tuple[int, ...]) -> float:
        """Share of a direction that lies on parameters of these experts."""
        columns = np.concatenate([self._columns(k) for k in experts])
        own = direction[np.unique(columns)]
        return float(own @ own / (direction @ direction))

    def _columns(self, k: int) -> IntArray:
        return np.concatenate([self._terms.gate_columns[k], self._terms.expert_columns[k]])

    def _coincide(self, pair: tuple[int, int]) -> bool:
        one, other = (self._theta[self._terms.expert_columns[k]] for k in pair)
        return bool(np.abs(one - other).max(initial=0.0) < SAME_ATOM)


def in_words(direction: FloatArray, names: list[str], most: int = 4) -> str:
    """A direction by its largest loadings: ``gate[1].x1 (+0.71), gate[2].x1 (-0.71)``."""
    order = np.argsort(-np.abs(direction), kind="stable")[:most]
    loadings = [f"{names[i]} ({direction[i]:+.2f})" for i in order if abs(direction[i]) > 0.1]
    return ", ".join(loadings)
