"""Ascent where the likelihood jumps: EM, then tries across switching ties, in turns with steps along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from moestat.directions import complement, supported_directions
from moestat.solvers.along import Settled, settle
from moestat.solvers.em import EM, EMState
from moestat.solvers.held_experts import HeldExperts
from moestat.solvers.loop import State, Stop
from moestat.solvers.problem import Problem
from moestat.solvers.ties import past
from moestat.typing import FloatArray

#: Steps that are tried along every direction, in logits per standardised unit: from half a unit down to less than
#: what separates two rows of a large sample.
REACH = 0.5 * 2.0 ** -np.arange(14.0)

#: A round of tries that gains less than this is idle; after steps without end, on the way to infinity, than this.
IDLE_GAIN = 1e-6
DRIFT = 0.01


#: Steps of a random walk; their length, as a multiple of standard errors over the root of the dimension (2.4 is best
#: for a normal law, by Gelman, Roberts and Gilks 1996), times a power of 1/4 chosen anew each time.
WALK = 400
STRIDE = 2.4
SCALES = 5


def relaxed(problem: Problem) -> list[Problem]:
    """The same problem with denser gates, densest first; none where the gate's weights are continuous."""
    terms = problem.passes.terms
    gates = (gate.bind(terms.gate_layout) for gate in terms.gate.relaxations(terms.n_experts))
    return [replace(problem, passes=replace(problem.passes, terms=replace(terms, gate=gate))) for gate in gates]


@dataclass(frozen=True)
class TieState(State):
    """Between rounds: what the steps along ties ended at, how many rounds were idle in a row, and why it is over."""

    settled: Settled = field(repr=False)
    idle: int = 0
    over: Stop | None = None


Move = Callable[[Problem, Settled, np.random.Generator], Settled]


@dataclass(frozen=True)
class AcrossTies:
    """Ascent for gates whose weights jump: EM, then tries across ties in turns with Newton steps along them.

    Parameters
    ----------
    em : EM
        What runs first. Its steps are halved until the observed log-likelihood does not fall, also where they would
        switch rows.
    patience : int
        Number of rounds of tries in a row without a gain that end them.
    walks : int
        Number of random walks in a row without a gain, after all ties were crossed once in vain, that end the ascent.
        With 0 neither is done.
    max_iter : int
        Steps of all kinds at most: where a likelihood rises for ever, tries gain for ever.

    Notes
    -----
    A round tries steps of many lengths, forwards and backwards, along as many orthogonal directions as the gate has
    parameters, a new set in each round; from the best of them Newton's steps go on, and stop at the ties that they
    meet. No derivative sees a jump; the tries do. Then every tie that holds the ascent back is crossed, to see whether
    it goes on behind it, and random walks of the gate among points nearly as likely look for other ways up. What is
    left is a point that none of this improved: a local statement.
    """

    em: EM = field(default_factory=lambda: EM(max_iter=10, rtol=1e-7))
    patience: int = 1
    walks: int = 20
    max_iter: int = 150

    def init(self, problem: Problem, theta: FloatArray) -> EMState:
        """EM's first state."""
        return self.em.init(problem, theta)

    def step(self, problem: Problem, state: Any) -> Any:
        """A step of EM, a round of tries, the crossing of all ties, or a random walk."""
        if isinstance(state, EMState):
            if self.em.finished(state) is None:
                return self.em.step(problem, state)
            return _after(problem, state, settle(problem, state.theta), idle=0)
        found = self._move(state.idle)(problem, state.settled, np.random.default_rng(state.iteration))
        least = DRIFT if found.stop is Stop.LIMIT else IDLE_GAIN
        if found.loglik - state.loglik > least * problem.weight_of_a_row:
            return _after(problem, state, found, idle=0)
        idle = state.idle + 1
        over = found.stop if idle >= self.patience + (1 + self.walks if self.walks else 0) else None
        return _after(problem, state, state.settled, idle, over)

    def _move(self, idle: int) -> Move:
        """What to do after so many moves in vain."""
        if idle < self.patience:
            return _round
        return _crossed if idle == self.patience else _walked

    def finished(self, state: Any) -> Stop | None:
        """When neither tries nor crossings nor walks gain anything."""
        if not isinstance(state, TieState):
            return None
        return state.over or (Stop.LIMIT if state.iteration >= self.max_iter else None)


def _after(problem: Problem, before: State, found: Settled, idle: int, over: Stop | None = None) -> TieState:
    if found.loglik < before.loglik:  # by rounding
        found = replace(found, theta=before.theta, loglik=before.loglik, score=before.score)
    return TieState(
        found.theta,
        found.loglik,
        found.score,
        problem.gradient_norm(found.theta, found.score),
        before.iteration + 1,
        "ties",
        gain=found.loglik - before.loglik,
        move=float(np.abs(found.theta - before.theta).max(initial=0.0)),
        shift=before.shift,
        settled=found,
        idle=idle,
        over=over,
    )


def _round(problem: Problem, at: Settled, rng: np.random.Generator) -> Settled:
    """Tries in all directions, and steps along ties from the best."""
    tried, loglik = _tries(problem, at.theta, at.loglik, rng)
    return settle(problem, tried) if loglik > at.loglik else at


def _walked(problem: Problem, at: Settled, rng: np.random.Generator) -> Settled:
    """Where the best point leads that a random walk of the gate meets in its second half.

    The walk is Metropolis's, among points nearly as likely: the log-likelihood it knows is the real one.
    """
    directions = _directions(problem, at.theta, rng)
    information = -directions.T @ problem.passes.hessian(at.theta).hessian @ directions
    size, vectors = np.linalg.eigh(information)
    stride = STRIDE / np.sqrt(size.size) * directions @ (vectors / np.sqrt(np.maximum(size, 1.0)))
    held = HeldExperts(problem, at.theta)
    here, height = at.theta, at.loglik
    best, top = here, -np.inf
    for i in range(WALK):
        there = problem.admit(here + 4.0 ** -rng.integers(SCALES) * (stride @ rng.standard_normal(size.size)))
        loglik = held.loglik(there)
        if np.log(rng.random()) < loglik - height:
            here, height = there, loglik
        if i >= WALK // 2 and height > top:
            best, top = here, height
    found = _round(problem, settle(problem, best), rng)
    return found if found.loglik > at.loglik else at


def _tries(problem: Problem, theta: FloatArray, loglik: float, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """The best of many steps of the gate along each of a random set of directions, one after the other."""
    held = HeldExperts(problem, theta)
    for direction in _directions(problem, theta, rng).T:
        points = [problem.admit(theta + reach * direction) for length in REACH for reach in (length, -length)]
        values = [held.loglik(point) for point in points]
        best = int(np.argmax(values))
        if values[best] > loglik:
            theta, loglik = points[best], values[best]
    return theta, loglik


def _directions(problem: Problem, theta: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Random orthonormal directions (P, m) of the gate's free parameters that change its logits."""
    terms = problem.passes.terms
    dense = terms.gate.relaxations(terms.n_experts)
    own, _ = (dense[0] if dense else terms.gate).invariances(terms.gate_layout, theta[: terms.n_gate])
    still = np.vstack([np.pad(own, ((0, 0), (0, theta.size - terms.n_gate))), problem.null])
    open_ = problem.free & (np.arange(theta.size) < terms.n_gate)
    basis = complement(supported_directions(still, open_), open_)
    rotation, _ = np.linalg.qr(rng.standard_normal((basis.shape[1],) * 2))
    turned: FloatArray = basis @ rotation
    return turned


def _crossed(problem: Problem, at: Settled, rng: np.random.Generator) -> Settled:
    """The best that is reached from behind each of the ties, if it is better."""
    best = at
    for m in range(len(at.ties)):
        found = settle(problem, past(problem, at.theta, at.ties, m))
        if found.loglik > best.loglik:
            best = found
    return best
