"""Generalised EM.

One pass gives the log-likelihood, the score and what the M-step needs. The experts take their exact
M-step where it has a closed form, else one damped Newton step on Q; the gate takes one damped Newton
step on Q. Either may be asked for the maximiser of Q instead. A step that would lower the observed
log-likelihood is halved, so the ascent is monotone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from moestat.solvers.loop import State, Stop
from moestat.solvers.m_step import M_STEPS, SLACK, check_m_step
from moestat.solvers.problem import Problem
from moestat.solvers.rules import Rules
from moestat.sums import EMSums
from moestat.typing import FloatArray


@dataclass(frozen=True)
class EMState(State):
    """EM's state: the sums of the pass at theta, and whether the last step found no way up."""

    sums: EMSums = field(repr=False)
    stalled: bool = False

    @property
    def stuck(self) -> Stop | None:
        """Why no further step is possible, if none is."""
        return Stop.STALLED if self.stalled else None


@dataclass(frozen=True, kw_only=True)
class EM(Rules):
    """Generalised EM with classical stopping rules (see `Rules`).

    Parameters
    ----------
    max_iter, rtol, atol, xtol, gtol, rtol_offset, raw
        Stopping rules (see `Rules`); by default until a step gains less than 1e-6 of the log-likelihood's size.
    m_step : {"newton", "exact"}
        One damped Newton step on Q where the maximiser has no closed form, which costs no pass of its own;
        or the maximiser of Q by Newton steps to the end, one pass each, as flexmix, MoEClust and meteorits
        do. Both ascend to the same maxima, by different paths.

    Notes
    -----
    A small gain is not a maximum: over-specified models creep along ridges for thousands of steps.
    The default of `moestat.fit` therefore ends with Newton steps.
    """

    max_iter: int = 2000
    rtol: float | None = 1e-6
    gtol: float | None = 1e-10
    m_step: str = "newton"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_m_step(self.m_step)

    def init(self, problem: Problem, theta: FloatArray) -> EMState:
        """State at the start."""
        return first_state(problem, theta, "em")

    def step(self, problem: Problem, state: EMState) -> EMState:
        """One generalised EM step, halved until the log-likelihood does not fall."""
        return em_step(problem, state, self.m_step)

    def finished(self, state: EMState) -> Stop | None:
        """The first stopping rule that holds."""
        return self.stop(state, state.stuck)


def first_state(problem: Problem, theta: FloatArray, method: str) -> EMState:
    """State at a start."""
    return _state(problem, theta, problem.passes.em(theta), 0, method)


def em_step(problem: Problem, state: EMState, m_step: str) -> EMState:
    """A step of EM by one of `M_STEPS`, halved until what is climbed does not fall."""
    move = M_STEPS[m_step](problem, state.theta, state.score, state.sums)
    floor = state.climbed - SLACK * abs(state.climbed)
    after = state.iteration + 1
    for halvings in range(40):
        theta = problem.admit(state.theta + move.share(0.5**halvings))
        sums = problem.passes.em(theta)
        if sums.climbed >= floor:
            return _state(problem, theta, sums, after, state.method, state)
    return _state(problem, state.theta, state.sums, after, state.method, state, stalled=True)


def _state(
    problem: Problem,
    theta: FloatArray,
    sums: EMSums,
    iteration: int,
    method: str,
    before: EMState | None = None,
    stalled: bool = False,
) -> EMState:
    score = sums.score
    return EMState(
        theta,
        sums.loglik,
        score,
        problem.gradient_norm(theta, score),
        iteration,
        method,
        sums,
        stalled,
        objective=sums.classification,
        gain=np.inf if before is None else sums.climbed - before.climbed,
        move=np.inf if before is None else float(np.abs(theta - before.theta).max(initial=0.0)),
        shift=problem.shift if before is None else before.shift,
    )
