"""Annealing: EM with a gate that is first blurred, then sharpened to the model's own.

    pi_k(x; T) = softmax_k(h(x) / T),    T_1 > T_2 > ... > T_m >= 1, then T = 1

At a high temperature all experts share all rows, so that few poor maxima are left to fall into; the dense-to-sparse
training of Nie et al. (2021, arXiv 2112.14397) does the same to a gate, deterministic annealing to all of the E-step.
Each stage climbs the log-likelihood of the model whose gate has that temperature. The last one is the model itself,
and ends as any fit does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.gates import Temperature
from moestat.solvers.default import EMThenNewton
from moestat.solvers.em import EM, EMState
from moestat.solvers.loop import Solver, State, Stop
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray


@dataclass(frozen=True)
class StageState(State):
    """A stage and where its EM stands: the objective, its score and gradient are those of the blurred model."""

    stage: int
    inner: EMState = field(repr=False)


@dataclass(frozen=True)
class Annealing:
    """EM along a falling schedule of temperatures, and then a solver of the model itself.

    Parameters
    ----------
    temperatures : tuple of float
        What the gate's logits are divided by, stage after stage: larger than one, falling. A model whose own gate has
        a temperature has it multiplied.
    em : EM
        What runs at each temperature; its rules end the stage.
    then : Solver
        What finishes at temperature one.

    Notes
    -----
    The log-likelihood of the model may fall from one stage to the next, and within a stage; what a stage climbs, its
    objective, does not.

    References
    ----------
    Nie et al. (2021), EvoMoE: an evolutional mixture-of-experts training framework via dense-to-sparse gate,
    arXiv 2112.14397.
    Ueda and Nakano (1998), Deterministic annealing EM algorithm, Neural Networks 11.
    """

    temperatures: tuple[float, ...] = (8.0, 4.0, 2.0)
    em: EM = field(default_factory=lambda: EM(max_iter=10, rtol=1e-5))
    then: Solver = field(default_factory=EMThenNewton)

    def __post_init__(self) -> None:
        given = self.temperatures
        numbers = isinstance(given, tuple | list) and all(
            isinstance(t, int | float | np.integer | np.floating) and not isinstance(t, bool) for t in given
        )
        if not numbers or not all(np.isfinite(t) and t > 1 for t in given):
            raise InputError(
                f"temperatures must be numbers larger than one, as (8.0, 4.0, 2.0); got {given!r}. The last stage, at "
                "temperature one, comes by itself."
            )
        if not all(a > b for a, b in pairwise(given)):
            raise InputError(f"temperatures must fall from stage to stage; got {given!r}.")
        if not isinstance(self.em, EM):
            raise InputError(f"em must be a solver EM(...), which runs at each temperature; got {self.em!r}.")
        if isinstance(self.then, type) or not isinstance(self.then, Solver):
            raise InputError(f"then must be a solver, such as EMThenNewton(); got {self.then!r}.")

    def init(self, problem: Problem, theta: FloatArray) -> Any:
        """First state of the first stage."""
        gate = problem.passes.terms.gate
        if not gate.normalised:
            raise InputError(
                f"annealing divides a gate's logits by a temperature; the {gate.name} gate with a joint likelihood is "
                "the law of the covariates as well, which that changes. Use its conditional form or another solver."
            )
        return self._enter(problem, theta, 0, 0)

    def step(self, problem: Problem, state: Any) -> Any:
        """A step of the stage, or the first state of the next one."""
        if not isinstance(state, StageState):
            return self.then.step(problem, state)
        if self.em.finished(state.inner) is not None:
            return self._enter(problem, state.theta, state.stage + 1, state.iteration + 1)
        inner = self.em.step(self._blurred(problem, state.stage), state.inner)
        return self._state(problem, inner, state.stage, state.iteration + 1)

    def finished(self, state: Any) -> Stop | None:
        """The last solver decides."""
        return None if isinstance(state, StageState) else self.then.finished(state)

    def _enter(self, problem: Problem, theta: FloatArray, stage: int, iteration: int) -> Any:
        if stage == len(self.temperatures):
            return self.then.init(problem, theta)
        return self._state(problem, self.em.init(self._blurred(problem, stage), theta), stage, iteration)

    def _blurred(self, problem: Problem, stage: int) -> Problem:
        """The problem with the stage's temperature; a held temperature has no parameter, so all stay in place."""
        terms = problem.passes.terms
        gate = Temperature(terms.gate, tau=self.temperatures[stage])
        return replace(problem, passes=replace(problem.passes, terms=replace(terms, gate=gate)))

    def _state(self, problem: Problem, inner: EMState, stage: int, iteration: int) -> StageState:
        return StageState(
            theta=inner.theta,
            loglik=problem.passes.loglik(inner.theta),
            score=inner.score,
            gradient=inner.gradient,
            iteration=iteration,
            method=f"em at temperature {self.temperatures[stage]:g}",
            objective=inner.climbed,
            gain=inner.gain,
            move=inner.move,
            shift=inner.shift,
            stage=stage,
            inner=inner,
        )
