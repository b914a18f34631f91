"""Annealing: EM with a gate that is first blurred, then sharpened to the model's own.

    pi_k(x; T) = softmax_k(h(x) / T),    T_1 > T_2 > ... > T_m >= 1, then T = 1

At a high temperature all experts share all rows, so that few poor maxima are left to fall into; the dense-to-sparse
training of Nie et al. (2021, arXiv 2112.14397) does the same to a gate, deterministic annealing to all of the E-step.
In place of a temperature normal noise in the logits may blur the gate, the average over it being what is climbed: the
training noise of Shazeer et al. (2017), with a scale that falls.

Each stage climbs the log-likelihood of the model whose gate is so blurred. The last one is the model itself, and ends
as any fit does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from moestat.component import Gate
from moestat.errors import InputError
from moestat.gates import NoisyTopK, Temperature, TopK
from moestat.solvers.across import AcrossTies, TieState
from moestat.solvers.default import EMThenNewton
from moestat.solvers.em import EM, EMState
from moestat.solvers.loop import Solver, State, Stop
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray

EM_NEWTON, ACROSS_TIES = EMThenNewton(), AcrossTies()


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
    noise : tuple of float, optional
        In place of temperatures: standard deviations of normal noise in the gate's logits, falling. A top-K gate
        becomes a noisy one.
    em : EM
        What runs at each temperature; its rules end the stage.
    then : Solver, optional
        What finishes at temperature one, or without noise. When left out, `EMThenNewton`, or `AcrossTies` where the
        gate's weights jump.

    Notes
    -----
    The log-likelihood of the model may fall from one stage to the next, and within a stage; what a stage climbs, its
    objective, does not.

    References
    ----------
    Nie et al. (2021), EvoMoE: an evolutional mixture-of-experts training framework via dense-to-sparse gate,
    arXiv 2112.14397.
    Shazeer et al. (2017), Outrageously large neural networks: the sparsely-gated mixture-of-experts layer,
    arXiv 1701.06538.
    Ueda and Nakano (1998), Deterministic annealing EM algorithm, Neural Networks 11.
    """

    temperatures: tuple[float, ...] = (8.0, 4.0, 2.0)
    noise: tuple[float, ...] | None = field(default=None, kw_only=True)
    em: EM = field(default_factory=lambda: EM(max_iter=10, rtol=1e-5))
    then: Solver | None = None

    def __post_init__(self) -> None:
        _check_schedule(
            "temperatures",
            self.temperatures,
            1,
            "(8.0, 4.0, 2.0)",
            "at temperature one",
        )
        if self.noise is not None:
            _check_schedule("noise", self.noise, 0, "(1.0, 0.5)", "without noise")
        if not isinstance(self.em, EM):
            raise InputError(f"em must be a solver EM(...), which runs at each temperature; got {self.em!r}.")
        if self.then is not None and (isinstance(self.then, type) or not isinstance(self.then, Solver)):
            raise InputError(f"then must be a solver, such as EMThenNewton(), or None; got {self.then!r}.")

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
            return self._last(problem).step(problem, state)
        if self.em.finished(state.inner) is not None:
            return self._enter(problem, state.theta, state.stage + 1, state.iteration + 1)
        inner = self.em.step(self._blurred(problem, state.stage), state.inner)
        return self._state(problem, inner, state.stage, state.iteration + 1)

    def finished(self, state: Any) -> Stop | None:
        """The last solver decides."""
        if isinstance(state, StageState):
            return None
        last = self.then or (ACROSS_TIES if isinstance(state, TieState) else EM_NEWTON)
        return last.finished(state)

    def _last(self, problem: Problem) -> Solver:
        """The solver of the last stage."""
        return self.then or (EM_NEWTON if problem.passes.terms.gate.continuous else ACROSS_TIES)

    def _enter(self, problem: Problem, theta: FloatArray, stage: int, iteration: int) -> Any:
        if stage == len(self._stages):
            return self._last(problem).init(problem, theta)
        return self._state(problem, self.em.init(self._blurred(problem, stage), theta), stage, iteration)

    @property
    def _stages(self) -> tuple[float, ...]:
        return self.temperatures if self.noise is None else self.noise

    def _blurred(self, problem: Problem, stage: int) -> Problem:
        """The problem with the stage's blur; what is held has no parameter, so all stay in place."""
        terms, size = problem.passes.terms, self._stages[stage]
        gate = Temperature(terms.gate, tau=size) if self.noise is None else _noisy(terms.gate, size, terms.n_experts)
        layout = terms.gate_layout
        blurred = replace(terms, gate=gate.bind(layout), gate_columns=gate.columns(layout))
        return replace(problem, passes=replace(problem.passes, terms=blurred))

    def _state(self, problem: Problem, inner: EMState, stage: int, iteration: int) -> StageState:
        return StageState(
            theta=inner.theta,
            loglik=problem.passes.loglik(inner.theta),
            score=inner.score,
            gradient=inner.gradient,
            iteration=iteration,
            method=f"em {'at temperature' if self.noise is None else 'with noise'} {self._stages[stage]:g}",
            objective=inner.climbed,
            gain=inner.gain,
            move=inner.move,
            shift=inner.shift,
            stage=stage,
            inner=inner,
        )


def _noisy(gate: Gate, scale: float, n_experts: int) -> Gate:
    """The gate with normal noise in its logits, as they are before a top-K gate takes the largest."""
    if isinstance(gate, TopK):
        return NoisyTopK(gate.inner, n_active=gate.active(n_experts), scale=scale)
    return NoisyTopK(gate, n_active=n_experts, scale=scale)


def _check_schedule(name: str, given: Any, least: int, example: str, last: str) -> None:
    """Refuse what is no falling sequence of numbers larger than some least one."""
    numbers = isinstance(given, tuple | list) and all(
        isinstance(t, int | float | np.integer | np.floating) and not isinstance(t, bool) for t in given
    )
    if not numbers or not given or not all(np.isfinite(t) and t > least for t in given):
        raise InputError(
            f"{name} must be one or more numbers larger than {('zero', 'one')[least]}, as {example}; got {given!r}. "
            f"The last stage, {last}, comes by itself."
        )
    if not all(a > b for a, b in pairwise(given)):
        raise InputError(f"{name} must fall from stage to stage; got {given!r}.")
