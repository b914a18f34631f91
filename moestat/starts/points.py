"""Starting points: responsibilities on a sketch turned into admissible parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from moestat.buffers import Buffers
from moestat.data import Block
from moestat.errors import InputError
from moestat.sketch import sketch
from moestat.solvers.m_step import newton_move
from moestat.solvers.problem import Problem
from moestat.starts.families import CATEGORICAL_FAMILIES, FAMILIES
from moestat.sums import ExpertInformation
from moestat.terms import Terms, Tile
from moestat.typing import FloatArray

#: Distinct rows of the sketch that starts are made from.
SKETCH_ROWS = 4096

#: The family of starts that the caller brings.
GIVEN = "given"


@dataclass(frozen=True, eq=False)
class Start:
    """A starting point: the family that proposed it and the unconstrained parameters (P,)."""

    family: str
    theta: FloatArray


@dataclass(frozen=True)
class StartLaw:
    """Endless starting points, going round the families; start i depends on the seed and i only.

    Parameters
    ----------
    problem : Problem
    rows : Block
        Sketch of the data.
    families : tuple of str
    seed : int
    """

    problem: Problem
    rows: Block
    families: tuple[str, ...]
    seed: int

    @staticmethod
    def of(problem: Problem, seed: int, families: Sequence[str] | None = None) -> StartLaw:
        """The starts of a problem.

        Raises
        ------
        InputError
            For unknown families, and for lines through class labels.
        """
        rows = sketch(problem.passes.source, SKETCH_ROWS, seed)
        return StartLaw(problem, rows, _families(problem.passes.terms, families), seed)

    def __iter__(self) -> Iterator[Start]:
        terms = self.problem.passes.terms
        if terms.n_experts == 1:
            yield Start("all_rows", start_from(self.problem, self.rows, self.rows.weight[None]))
            return
        seen, i = terms.expert.for_starts(self.rows), 0
        while True:
            name = self.families[i % len(self.families)]
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(i,)))
            resp = FAMILIES[name](seen, terms.n_experts, rng, terms.expert.start_residuals) * self.rows.weight
            yield Start(name, start_from(self.problem, self.rows, resp))
            i += 1


def _families(terms: Terms, wanted: Sequence[str] | None) -> tuple[str, ...]:
    possible = CATEGORICAL_FAMILIES if terms.expert.categorical else tuple(FAMILIES)
    if wanted is None:
        return possible
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    unknown = [name for name in names if name not in possible]
    if unknown or not names:
        raise InputError(f"families must be a choice of {list(possible)} for this model; got {wanted!r}.")
    return names


def start_from(problem: Problem, rows: Block, resp: FloatArray) -> FloatArray:
    """Admissible parameters from weighted responsibilities (K, n) on a sketch."""
    terms, schema = problem.passes.terms, problem.passes.source.schema
    gate_layout, expert_layout = terms.gate_layout, terms.expert_layout
    gate = gate_layout.pack(terms.gate.start(gate_layout, rows, resp, schema))
    expert = expert_layout.pack(terms.expert.start(expert_layout, rows, resp, schema))
    proposed = np.concatenate([gate, expert])
    theta = problem.admit(proposed)
    untouched = np.array_equal(theta[terms.n_gate :], proposed[terms.n_gate :])
    return theta if terms.expert.closed_form and untouched else _polish(problem, rows, resp, theta)


def _polish(problem: Problem, rows: Block, resp: FloatArray, theta: FloatArray, steps: int = 6) -> FloatArray:
    """A few damped Newton steps of the experts alone, responsibilities fixed; one that fails is halved."""
    terms: Terms = problem.passes.terms
    n = terms.n_gate
    best, best_value, move = theta, -np.inf, np.zeros(terms.size - n)
    for _ in range(steps):
        local = theta[terms.expert_columns]
        value = np.empty(resp.shape)
        terms.expert.value(local, rows, value)
        # an expert that rules a row out has no say in it, whatever share the family gave it
        total = float((resp * np.where(np.isneginf(value), 0.0, value)).sum())
        if total > best_value:
            best, best_value = theta, total
            score = np.zeros_like(local)
            terms.expert.pull(local, rows, value, resp, score)
            flat = np.zeros(terms.size)
            terms.scatter(terms.expert_columns, score, flat)
            information = ExpertInformation(terms, theta)
            information.add(Tile(rows, value, value, value, resp, resp, rows.weight, 0.0, Buffers()))
            move = newton_move(information.matrix, flat[n:], problem.movable(theta, flat)[n:])
        else:
            move *= 0.5
        theta = problem.admit(np.concatenate([best[:n], best[n:] + move]))
    return best
