"""Starting points of a regression function: those of the model with densities, as they are and after a few EM steps.

What EM makes of a start explains the response by experts that own their rows; a regression function may also explain
it by experts that share them everywhere, and such solutions lie nearer to the starts themselves. Neither kind of start
wins everywhere, so they alternate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from moestat.bounds import Bounds
from moestat.data import Block
from moestat.regression import RegressionFunction
from moestat.solvers import EM, Problem, solve
from moestat.starts.points import Start, StartLaw
from moestat.typing import FloatArray, IntArray

#: Steps of EM on the model with densities.
TOWARDS = EM(max_iter=15, rtol=1e-9)


@dataclass(frozen=True)
class RegressionStarts:
    """Endless starting points of a least squares problem, with the model's densities for guides.

    Parameters
    ----------
    problem : Problem
        Least squares.
    law : StartLaw
        Starts of the model with densities.
    kept : ndarray of int
        Where the regression function's parameters are among that model's.
    """

    problem: Problem
    law: StartLaw
    kept: IntArray

    @staticmethod
    def of(
        model: RegressionFunction, problem: Problem, seed: int, families: Sequence[str] | None, bounds: Bounds
    ) -> RegressionStarts:
        """The starts of a problem; the bounds are those it was made with."""
        source = problem.passes.source
        law = StartLaw.of(Problem.of(model.whole, source, bounds), seed, families)
        paths = [path for path, _, _ in problem.layout.leaves()]
        places = [law.problem.layout.index(path).ravel() for path in paths]
        return RegressionStarts(problem, law, np.concatenate(places))

    @property
    def rows(self) -> Block:
        """The sketch that starts are made from."""
        return self.law.rows

    @property
    def seed(self) -> int:
        """Seed of the starts."""
        return self.law.seed

    def __iter__(self) -> Iterator[Start]:
        guided = self.law.problem.passes.terms.gate.sums_to_one
        for i, start in enumerate(self.law):
            if guided and i % 2 == 0:
                yield Start(start.family, self._means(solve(self.law.problem, TOWARDS, start.theta).theta))
            else:
                yield Start(start.family, self._means(start.theta))

    def _means(self, theta: FloatArray) -> FloatArray:
        """The regression function of parameters of the whole model."""
        return self.problem.admit(theta[self.kept])
