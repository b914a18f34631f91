"""Ascent where the likelihood jumps: EM, then tries across switching ties, in turns with steps along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

import numpy as np

from moestat.directions import complement, supported_directions
from moestat.solvers.along import NEWTON, Settled, settle
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


#: Steps of a random walk, fewer in proportion where there are more rows than this, and at least so many; in its second
#: half it is cooled down to this temperature.
WALK = 2000
WALK_ROWS = 20_000
SHORTEST_WALK = 100
COLD = 0.02

#: Their length, as a multiple of standard errors over the root of the dimension (2.4 is best for a normal law, by
#: Gelman, Roberts and Gilks 1996), times a power of 1/4 chosen anew each time, one of so many.
STRIDE = 2.4
SCALES = 5

#: An end of a walk that lies lower than its beginning by more than this is left alone.
SLACK = 0.3


def relaxed(problem: Problem) -> list[Problem]:
    """The same problem with denser gates, densest first; none where the gate's weights are continuous."""
    terms = problem.passes.terms
    gates = (gate.bind(terms.gate_layout) for gate in terms.gate.relaxations(terms.n_experts))
    return [replace(problem, passes=replace(problem.passes, terms=replace(terms, gate=gate))) for gate in gates]


@dataclass(frozen=True)
class TieState(State):
    """Between moves: what the steps along ties ended at, and how many moves were idle in a row."""

    settled: Settled = field(repr=False)
    idle: int = 0


Move = Callable[[Problem, Settled, np.random.Generator], Settled]


@dataclass(frozen=True)
class AcrossTies:
    """Ascent for gates whose weights jump: EM, then tries across ties in turns with Newton steps along them.

    Parameters
    ----------
    em : EM
        What runs first; sums of squares have none. Its steps are halved until the observed log-likelihood does not
        fall, also where they would switch rows.
    patience : int
        Number of rounds of tries in a row without a gain that end them.
    walks : int
        Number of random walks in a row without a gain that end the ascent.
    crossing : bool
        Whether all ties are crossed after that, and if there is a gain, everything begins again.
    max_iter : int
        Steps of all kinds at most: where a likelihood rises for ever, tries gain for ever.
    seed : int
        Seed of directions and walks; the same seed gives the same ascent.

    Notes
    -----
    A round tries steps of many lengths, forwards and backwards, along as many orthogonal directions as the gate has
    parameters, a new set in each round; from the best of them Newton's steps go on, and stop at the ties that they
    meet. No derivative sees a jump; the tries do. Random walks of the gate among points nearly as likely look for other
    ways up, and at last every tie that holds the ascent back is crossed, to see whether it goes on behind it. What is
    left is a point that none of this improved: a local statement.
    """

    em: EM = field(default_factory=lambda: EM(max_iter=10, rtol=1e-7))
    patience: int = 1
    walks: int = 10
    crossing: bool = True
    max_iter: int = 150
    seed: int = 0

    def init(self, problem: Problem, theta: FloatArray) -> State:
        """EM's first state; where there is no EM, Newton's."""
        return self.em.init(problem, theta) if problem.passes.has_em else NEWTON.init(problem, theta)

    def step(self, problem: Problem, state: Any) -> Any:
        """A step of EM, a round of tries, a random walk, or the crossing of all ties."""
        if isinstance(state, EMState) and self.em.finished(state) is None:
            return self.em.step(problem, state)
        if not isinstance(state, TieState):
            return _after(problem, state, settle(problem, state.theta), idle=0)
        rng = np.random.default_rng((self.seed, state.iteration))
        found = self._moves[state.idle](problem, state.settled, rng)
        least = DRIFT if found.stop is Stop.LIMIT else IDLE_GAIN
        if found.loglik - state.loglik > least * problem.weight_of_a_row:
            return _after(problem, state, found, idle=0)
        return _after(problem, state, state.settled, state.idle + 1)

    @property
    def _moves(self) -> Sequence[Move]:
        """What is done in turn, until it brings a gain."""
        return [*repeat(_round, self.patience), *repeat(_walked, self.walks), *repeat(_crossed, self.crossing)]

    def finished(self, state: Any) -> Stop | None:
        """When neither tries nor walks nor crossings gain anything."""
        if not isinstance(state, TieState):
            return None
        if state.idle == len(self._moves):
            return state.settled.stop
        return Stop.LIMIT if state.iteration >= self.max_iter else None


def _after(problem: Problem, before: State, found: Settled, idle: int) -> TieState:
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
    )


def _round(problem: Problem, at: Settled, rng: np.random.Generator) -> Settled:
    """Tries in all directions, and steps along ties from the best."""
    tried, loglik = _tries(problem, at.theta, at.loglik, rng)
    return settle(problem, tried) if loglik > at.loglik else at


def _walked(problem: Problem, at: Settled, rng: np.random.Generator) -> Settled:
    """Where the best point leads that a random walk of the gate meets in its second half."""
    top, _ = _tries(problem, *_walk(problem, at, rng), rng)
    found = settle(problem, top)
    if found.loglik > at.loglik - SLACK * problem.weight_of_a_row:
        found = _round(problem, found, rng)
    return found if found.loglik > at.loglik else at


def _walk(problem: Problem, at: Settled, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """The best point of the second half of a walk, and its log-likelihood with the experts where they were.

    The walk is Metropolis's, first among points nearly as likely, then upwards, as in annealing (Kirkpatrick, Gelatt
    and Vecchi 1983, Science 220): the log-likelihood it knows is the real one.
    """
    directions = _directions(problem, at.theta, rng)
    information = -directions.T @ problem.passes.hessian(at.theta).hessian @ directions
    size, vectors = np.linalg.eigh(information)
    stride = STRIDE / np.sqrt(size.size) * directions @ (vectors / np.sqrt(np.maximum(size, 1.0)))
    n = int(np.clip(WALK * WALK_ROWS / problem.passes.source.n_rows, SHORTEST_WALK, WALK))
    steps = 4.0 ** -rng.integers(SCALES, size=(n, 1)) * rng.standard_normal((n, size.size)) @ stride.T
    temperature = np.minimum(1.0, COLD ** (2.0 * np.arange(n) / n - 1.0))
    falls = -temperature * rng.standard_exponential(n)
    held = HeldExperts(problem, at.theta)
    here, height = at.theta, at.loglik
    best, top = here, -np.inf
    for i, (step, fall) in enumerate(zip(steps, falls, strict=True)):
        there = problem.admit(here + step)
        loglik = held.loglik(there)
        if loglik - height > fall:
            here, height = there, loglik
        if 2 * i >= n and height > top:
            best, top = here, height
    return best, top


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
