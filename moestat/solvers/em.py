"""Generalised EM.

One pass gives the log-likelihood, the score and what the M-step needs. The experts take their exact
M-step where it has a closed form, else one damped Newton step on Q; the gate takes one damped Newton
step on Q. A step that would lower the observed log-likelihood is halved, so the ascent is monotone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from moestat.errors import InputError
from moestat.solvers.loop import State, Stop
from moestat.solvers.problem import Problem
from moestat.sums import EMSums
from moestat.typing import BoolArray, FloatArray

#: Largest move of a gate parameter in one step, in logits per standardised unit: an exact gate step from
#: hard responsibilities separates at once and never comes back.
STEP_CAP = 5.0

#: Round-off allowance when two log-likelihoods are compared, relative to their size.
SLACK = 1e-13


@dataclass(frozen=True)
class EMState(State):
    """EM's state: the sums of the pass at theta, and what the last step changed."""

    sums: EMSums = field(repr=False)
    gain: float = np.inf
    move: float = np.inf
    stalled: bool = False


@dataclass(frozen=True)
class EM:
    """Generalised EM with classical stopping rules; each rule is off when None.

    Parameters
    ----------
    max_iter : int
        Largest number of steps.
    rtol : float, optional
        Stop when the gain in log-likelihood is at most ``rtol * |log-likelihood|``.
    atol : float, optional
        Stop when the gain in log-likelihood (a sum, in nats) is at most ``atol``.
    xtol : float, optional
        Stop when no unconstrained parameter moves by more than ``xtol`` (working coordinates).
    gtol : float, optional
        Stop when the infinity norm of the score per row is at most ``gtol``.

    Notes
    -----
    A small gain is not a maximum: over-specified models creep along ridges for thousands of steps.
    The default of `moestat.fit` therefore ends with Newton steps.
    """

    max_iter: int = 2000
    rtol: float | None = 1e-6
    atol: float | None = None
    xtol: float | None = None
    gtol: float | None = 1e-10

    def __post_init__(self) -> None:
        if self.max_iter < 0:
            raise InputError(f"max_iter must not be negative; got {self.max_iter}.")
        for name in ("rtol", "atol", "xtol", "gtol"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InputError(f"{name} must be a number of at least 0, or None; got {value!r}.")

    def init(self, problem: Problem, theta: FloatArray) -> EMState:
        """State at the start."""
        return _state(problem, theta, problem.passes.em(theta), 0)

    def step(self, problem: Problem, state: EMState) -> EMState:
        """One generalised EM step, halved until the log-likelihood does not fall."""
        gate, expert, exact = _directions(problem, state)
        floor = state.loglik - SLACK * abs(state.loglik)
        share = 1.0
        for _ in range(40):
            # an exact M-step of the experts can only raise the log-likelihood: only the rest is halved
            move = np.concatenate([share * gate, expert if exact else share * expert])
            theta = problem.admit(state.theta + move)
            sums = problem.passes.em(theta)
            if sums.loglik >= floor:
                gain, moved = sums.loglik - state.loglik, float(np.abs(theta - state.theta).max(initial=0.0))
                return _state(problem, theta, sums, state.iteration + 1, gain, moved)
            share *= 0.5
        return _state(problem, state.theta, state.sums, state.iteration + 1, 0.0, 0.0, stalled=True)

    def finished(self, state: EMState) -> Stop | None:
        """The first stopping rule that holds."""
        if self.gtol is not None and state.gradient <= self.gtol:
            return Stop.GRADIENT
        if state.stalled:
            return Stop.STALLED
        if self.atol is not None and state.gain <= self.atol:
            return Stop.LOGLIK
        if self.rtol is not None and state.gain <= self.rtol * abs(state.loglik):
            return Stop.LOGLIK
        if self.xtol is not None and state.move <= self.xtol:
            return Stop.PARAMETERS
        return Stop.LIMIT if state.iteration >= self.max_iter else None


def _state(
    problem: Problem,
    theta: FloatArray,
    sums: EMSums,
    iteration: int,
    gain: float = np.inf,
    move: float = np.inf,
    stalled: bool = False,
) -> EMState:
    score = sums.score
    gradient = problem.gradient_norm(theta, score)
    return EMState(theta, sums.loglik, score, gradient, iteration, "em", sums, gain, move, stalled)


def _directions(problem: Problem, state: EMState) -> tuple[FloatArray, FloatArray, bool]:
    """Moves of the gate and of the experts, and whether the experts' is an exact M-step."""
    sums, terms = state.sums, problem.passes.terms
    n = terms.n_gate
    movable = problem.movable(state.theta, state.score)
    gate = newton_move(sums.gate_information, state.score[:n], movable[:n])
    if not terms.expert.closed_form:
        return gate, newton_move(sums.expert_information, state.score[n:], movable[n:]), False
    if not problem.free[n:].all():
        # the closed form moves everything at once; with something held, ascend along Q's gradient instead
        return gate, _held_expert_move(problem, state, movable), False
    factors = None
    if terms.expert.ill_conditioned(sums.local_expert, sums.moments):
        factors = problem.passes.factors(state.theta).factors
    new, _ = terms.expert.m_step(sums.local_expert, sums.moments, factors)
    target = state.theta.copy()
    target[terms.expert_columns] = new
    return gate, (target - state.theta)[n:], True


def _held_expert_move(problem: Problem, state: EMState, movable: BoolArray) -> FloatArray:
    n = problem.passes.terms.n_gate
    information = problem.passes.expert_information(state.theta).matrix
    return newton_move(information, state.score[n:], movable[n:])


def newton_move(information: FloatArray, score: FloatArray, movable: BoolArray) -> FloatArray:
    """Damped Newton move on a part of Q: along eigenvectors, with |eigenvalue|, at most `STEP_CAP`."""
    move = np.zeros_like(score)
    index = np.flatnonzero(movable)
    if not index.size:
        return move
    eigenvalues, vectors = np.linalg.eigh(information[np.ix_(index, index)])
    size = np.abs(eigenvalues)
    seen = size > 1e-13 * max(size.max(), 1e-300)
    along = vectors.T @ score[index]
    step = vectors @ np.where(seen, along / np.where(seen, size, 1.0), 0.0)
    largest = np.abs(step).max()
    move[index] = step * min(1.0, STEP_CAP / largest) if largest > 0 else step
    return move
