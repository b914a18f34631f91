"""SQUAREM: EM with squared extrapolation.

    r = M(t) - t,   v = M(M(t)) - M(t) - r,   alpha = -|r| / |v|,   t' = t - 2 alpha r + alpha^2 v

M is a step of EM; alpha is steplength S3, and alpha = -1 gives two plain steps.        [Varadhan and Roland 2008]
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from moestat.errors import InputError
from moestat.solvers.em import EM, EMState
from moestat.solvers.loop import Stop
from moestat.solvers.m_step import SLACK
from moestat.solvers.problem import Problem
from moestat.solvers.rules import Rules
from moestat.typing import FloatArray


@dataclass(frozen=True, kw_only=True)
class SQUAREM(Rules):
    """Squared extrapolation of EM, safeguarded so that the log-likelihood never falls.

    A step makes two steps of EM, extrapolates along them in unconstrained coordinates, and steadies the
    point reached with a third step of EM. It ends there if that is no lower than the second step, and at the
    second step otherwise. That takes four passes over the data, or three where nothing is extrapolated;
    a step of EM that has to be halved, and ``EM(m_step="exact")``, take more.

    Parameters
    ----------
    em : EM
        What is extrapolated. Only its M-step counts; when to stop is for the rules below.
    max_iter, rtol, atol, xtol, gtol, rtol_offset, raw
        Stopping rules for whole steps (see `Rules`).

    References
    ----------
    Varadhan and Roland (2008), Simple and globally convergent methods for accelerating the convergence of
    any EM algorithm, Scandinavian Journal of Statistics 35.
    """

    em: EM = field(default_factory=EM)
    max_iter: int = 1000
    rtol: float | None = 1e-9
    gtol: float | None = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.em, EM):
            raise InputError(f"em must be a solver EM(...), whose steps are extrapolated; got {self.em!r}.")

    def init(self, problem: Problem, theta: FloatArray) -> EMState:
        """State at the start."""
        return replace(self.em.init(problem, theta), method="squarem")

    def step(self, problem: Problem, state: EMState) -> EMState:
        """Two steps of EM, an extrapolation, and a third step that steadies it."""
        first = self.em.step(problem, state)
        if first.stalled:
            return first
        second = self.em.step(problem, first)
        found = self._steadied(problem, state, first, second)
        return replace(
            found,
            iteration=state.iteration + 1,
            gain=found.loglik - state.loglik,
            move=float(np.abs(found.theta - state.theta).max(initial=0.0)),
            stalled=False,
        )

    def finished(self, state: EMState) -> Stop | None:
        """The first stopping rule that holds."""
        return self.stop(state, state.stuck)

    def _steadied(self, problem: Problem, start: EMState, first: EMState, second: EMState) -> EMState:
        """A step of EM from the extrapolated point, or the second step where that is higher."""
        far = _extrapolated(start.theta, first.theta, second.theta)
        if far is None:
            return self.em.step(problem, second)
        beyond = self.init(problem, problem.admit(far))
        if not np.isfinite(beyond.loglik):
            return second
        steadied = self.em.step(problem, beyond)
        return steadied if steadied.loglik >= second.loglik - SLACK * abs(second.loglik) else second


def _extrapolated(start: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray | None:
    """The point that steplength S3 leads to; None where that is no further than the second step."""
    r = first - start
    v = (second - first) - r
    length, bend = float(np.sqrt(r @ r)), float(np.sqrt(v @ v))
    if not length > bend > 0:
        return None
    alpha = -length / bend
    far: FloatArray = start - 2 * alpha * r + alpha**2 * v
    return far
