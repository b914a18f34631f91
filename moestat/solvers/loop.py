"""The one loop that runs every solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np

from moestat.passes import SecondOrder
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray


class Stop(Enum):
    """Why a solver stopped; the value is the message."""

    GRADIENT = "the gradient is below its tolerance"
    PRECISION = "the log-likelihood cannot be raised in double precision"
    CREEPING = "the log-likelihood creeps, with a gradient that counts as zero"
    LOGLIK = "the log-likelihood changed by less than its tolerance"
    PARAMETERS = "the parameters changed by less than their tolerance"
    LIMIT = "the limit of iterations was reached"
    SETTLED = "no move across a tie raised the log-likelihood"
    STALLED = "no step along the ascent direction raised the log-likelihood"


@dataclass(frozen=True)
class State:
    """Where a solver stands.

    theta (P,) is the admissible point, loglik and score (P,) (sums over rows) are taken there,
    iteration counts steps, gradient is the infinity norm of the projected score per row. A solver that
    climbs something other than the log-likelihood puts it into objective; score and gradient are then its
    derivatives. gain is how much the last step raised what is climbed, and move the largest change of a
    parameter; both are infinite before the first step, so that no stopping rule holds there. shift turns
    log-likelihoods, which are in working units of the response, into those of the raw response. second_order
    holds the derivatives at theta up to the second, where the last pass was one of them.
    """

    theta: FloatArray
    loglik: float
    score: FloatArray
    gradient: float
    iteration: int
    method: str
    objective: float | None = field(default=None, kw_only=True)
    gain: float = field(default=np.inf, kw_only=True)
    move: float = field(default=np.inf, kw_only=True)
    shift: float = field(default=0.0, kw_only=True)
    second_order: SecondOrder | None = field(default=None, kw_only=True, repr=False)

    @property
    def climbed(self) -> float:
        """What the solver climbs: the objective where there is one, else the log-likelihood."""
        return self.loglik if self.objective is None else self.objective


@runtime_checkable
class Solver(Protocol):
    """What `solve` needs of a solver; states extend `State`."""

    def init(self, problem: Problem, theta: FloatArray) -> Any:
        """State at an admissible start."""
        ...

    def step(self, problem: Problem, state: Any) -> Any:
        """The next state; what the solver climbs (`State.climbed`) is never lower there."""
        ...

    def finished(self, state: Any) -> Stop | None:
        """Why to stop here, or None to go on."""
        ...


@dataclass(frozen=True)
class TraceRow:
    """One iteration: method, log-likelihood (a sum, nats), gradient infinity norm per row.

    objective is what the solver climbs (a sum, nats) where that is not the log-likelihood, which may then fall.
    """

    method: str
    loglik: float
    gradient: float
    objective: float | None = None

    @staticmethod
    def of(state: State) -> TraceRow:
        """The row of a state."""
        return TraceRow(state.method, state.loglik, state.gradient, state.objective)

    @property
    def climbed(self) -> float:
        """What never falls from row to row: the objective where there is one, else the log-likelihood."""
        return self.loglik if self.objective is None else self.objective

    @property
    def climbs(self) -> str:
        """What that is; of two rows that climb different things neither is higher."""
        return "log-likelihood" if self.objective is None else f"objective of {self.method}"


@dataclass(frozen=True, eq=False)
class Solution:
    """What a solver found.

    theta (P,) in working coordinates, loglik and score there (see `State`), why it stopped, and the whole trace;
    second_order as in `State`.
    """

    theta: FloatArray
    loglik: float
    score: FloatArray
    gradient: float
    stop: Stop
    trace: tuple[TraceRow, ...]
    second_order: SecondOrder | None = field(default=None, repr=False)

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

    What the solver climbs never falls: the log-likelihood, or the objective of its states.

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
    return go_on(problem, solver, solver.init(problem, problem.admit(np.asarray(theta, dtype=np.float64))), callback)


def go_on(problem: Problem, solver: Solver, state: State, callback: Callable[[State], None] | None = None) -> Solution:
    """The same from one of the solver's states."""
    trace = [TraceRow.of(state)]
    while (stop := solver.finished(state)) is None:
        state = solver.step(problem, state)
        trace.append(TraceRow.of(state))
        if callback is not None:
            callback(state)
    return Solution(state.theta, state.loglik, state.score, state.gradient, stop, tuple(trace), state.second_order)
