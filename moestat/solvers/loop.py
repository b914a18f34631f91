"""The one loop that runs every solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np

from moestat.solvers.problem import Problem
from moestat.typing import FloatArray


class Stop(Enum):
    """Why a solver stopped; the value is the message."""

    GRADIENT = "the gradient is below its tolerance"
    PRECISION = "the log-likelihood cannot be raised in double precision"
    LOGLIK = "the log-likelihood changed by less than its tolerance"
    PARAMETERS = "the parameters changed by less than their tolerance"
    LIMIT = "the limit of iterations was reached"
    STALLED = "no step along the ascent direction raised the log-likelihood"


@dataclass(frozen=True)
class State:
    """Where a solver stands.

    theta (P,) is the admissible point, loglik and score (P,) (sums over rows) are taken there,
    iteration counts steps, gradient is the infinity norm of the projected score per row.
    """

    theta: FloatArray
    loglik: float
    score: FloatArray
    gradient: float
    iteration: int
    method: str


@runtime_checkable
class Solver(Protocol):
    """What `solve` needs of a solver; states extend `State`."""

    def init(self, problem: Problem, theta: FloatArray) -> Any:
        """State at an admissible start."""
        ...

    def step(self, problem: Problem, state: Any) -> Any:
        """The next state; its log-likelihood is never lower."""
        ...

    def finished(self, state: Any) -> Stop | None:
        """Why to stop here, or None to go on."""
        ...


@dataclass(frozen=True)
class TraceRow:
    """One iteration: method, log-likelihood (a sum, nats), gradient infinity norm per row."""

    method: str
    loglik: float
    gradient: float


@dataclass(frozen=True, eq=False)
class Solution:
    """What a solver found.

    theta (P,) in working coordinates, loglik and score there, why it stopped, and the whole trace.
    """

    theta: FloatArray
    loglik: float
    score: FloatArray
    gradient: float
    stop: Stop
    trace: tuple[TraceRow, ...]

    @property
    def n_iter(self) -> int:
        """Number of steps."""
        return len(self.trace) - 1

    @property
    def converged(self) -> bool:
        """Whether a tolerance was met (the limit was not reached, and the ascent did not stall)."""
        return self.stop not in (Stop.LIMIT, Stop.STALLED)


def solve(
    problem: Problem, solver: Solver, theta: FloatArray, callback: Callable[[State], None] | None = None
) -> Solution:
    """Run a solver from a start until it is finished.

    Parameters
    ----------
    problem : Problem
    solver : Solver
    theta : ndarray (P,)
        Start; moved to the nearest admissible point first.
    callback : callable, optional
        Called with every state.

    Returns
    -------
    Solution
    """
    state = solver.init(problem, problem.admit(np.asarray(theta, dtype=np.float64)))
    trace = [TraceRow(state.method, state.loglik, state.gradient)]
    while (stop := solver.finished(state)) is None:
        state = solver.step(problem, state)
        trace.append(TraceRow(state.method, state.loglik, state.gradient))
        if callback is not None:
            callback(state)
    return Solution(state.theta, state.loglik, state.score, state.gradient, stop, tuple(trace))
