"""Starts seen on a sample: where they lead to there, and how high that may come on all rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from moestat.solvers import EMThenNewton, Problem, Solution, Stop, TraceRow, from_sample, solve, thinned
from moestat.solvers.default import NEWTON
from moestat.solvers.newton import NewtonState
from moestat.typing import FloatArray

#: From so many rows on starts are screened, on this share of them, and on at least so many.
SCREENED_ROWS = 100_000
SHARE, LEAST_ROWS = 0.05, 5_000

#: The share of the rows on which what is to be finished is brought nearer.
LARGER_SHARE = 0.25

#: What climbs to the maximum of the sample; where it does not end there, it is not followed.
CLIMB = EMThenNewton(newton=replace(NEWTON, max_iter=30))

#: By what share of it the gain that Newton's first step promises may be wrong.
DOUBT = 0.5


@dataclass(frozen=True)
class Screen:
    """All rows, a sample of them that starts are screened on, and a larger one on the way back."""

    problem: Problem
    few: Problem
    more: Problem

    @staticmethod
    def of(problem: Problem) -> Screen | None:
        """Samples of a problem with many rows in memory; None where starts had better see all of them."""
        n = problem.passes.source.n_rows
        if n < SCREENED_ROWS:
            return None
        few, more = thinned(problem, max(LEAST_ROWS, round(SHARE * n))), thinned(problem, round(LARGER_SHARE * n))
        return None if few is None or more is None else Screen(problem, few, more)

    def seen(self, theta: FloatArray) -> NewtonState:
        """State on all rows at the strict maximum of the sample that theta leads to; at theta, where there is none."""
        found = from_sample(self.problem, self.few, solve(self.few, CLIMB, theta))
        return found or replace(NEWTON.init(self.problem, theta), method="sample")

    def nearer(self, seen: NewtonState, theta: FloatArray) -> NewtonState | None:
        """State on all rows at the maximum of the larger sample that theta leads to; None where that is no way up."""
        if seen.model is None:
            return None
        found = from_sample(self.problem, self.more, solve(self.more, CLIMB, theta))
        return found if found is not None and found.loglik > seen.loglik else None


def promise(seen: NewtonState) -> float:
    """Log-likelihood that Newton's first step from a maximum of a sample promises; elsewhere, that of the point."""
    return seen.loglik + (0.0 if seen.model is None else seen.model.ahead)


def may_reach(seen: NewtonState, height: float) -> bool:
    """Whether the maximum near that of a sample may be higher than this."""
    return seen.model is not None and promise(seen) + DOUBT * seen.model.ahead > height


def as_it_stands(seen: NewtonState, stop: Stop) -> Solution:
    """A state as the end of a short run."""
    return Solution(seen.theta, seen.loglik, seen.score, seen.gradient, stop, (TraceRow.of(seen),))
