"""Starting values: pure functions of the data and a random generator.

Every family proposes responsibilities on a *sketch* (at most a few thousand rows in working
coordinates); gate and experts turn them into parameters. No family wins everywhere, so the default
goes round all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moestat.data import Block
from moestat.solvers.em import newton_move
from moestat.solvers.problem import Problem
from moestat.sums import ExpertInformation
from moestat.terms import Buffers, Terms, Tile
from moestat.typing import FloatArray, IntArray

#: Rows of the sketch that starts are made from.
SKETCH_ROWS = 4096

#: Steps of k-means: a start need not be the best partition.
MEAN_STEPS = 10

#: Responsibility of a row's own expert when a family proposes labels; the others share the rest.
OWN_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class Start:
    """A starting point: the family that proposed it and the unconstrained parameters (P,)."""

    family: str
    theta: FloatArray


# A family maps (sketch, number of experts, rng) to labels (n,) or responsibilities (K, n).
Family = Callable[[Block, int, np.random.Generator], FloatArray]


def local_lines(sketch: Block, n_experts: int, rng: np.random.Generator) -> FloatArray:
    """Least-squares lines through random small neighbourhoods; rows join the line they are nearest to."""
    n, p = sketch.weight.size, sketch.X.shape[0]
    size = min(n, max(p + 2, n // (4 * n_experts)))
    groups = []
    for centre in rng.choice(n, size=n_experts, replace=n < n_experts):
        distance = ((sketch.X - sketch.X[:, [centre]]) ** 2).sum(axis=0)
        groups.append(np.argsort(distance, kind="stable")[:size])
    return _nearest_line(sketch, groups)


def elemental(sketch: Block, n_experts: int, rng: np.random.Generator) -> FloatArray:
    """Lines through as few random rows as determine them; rows join the line they are nearest to."""
    n, p = sketch.weight.size, sketch.X.shape[0]
    groups = [rng.choice(n, size=min(n, p + 1), replace=False) for _ in range(n_experts)]
    return _nearest_line(sketch, groups)


def soft_labels(sketch: Block, n_experts: int, rng: np.random.Generator) -> FloatArray:
    """Random labels, softened."""
    return _soften(rng.integers(n_experts, size=sketch.weight.size), n_experts)


def hard_labels(sketch: Block, n_experts: int, rng: np.random.Generator) -> FloatArray:
    """Random labels, taken at their word."""
    return _soften(rng.integers(n_experts, size=sketch.weight.size), n_experts, own=1.0)


def clusters(sketch: Block, n_experts: int, rng: np.random.Generator) -> FloatArray:
    """k-means on covariates and response together, taken at its word: a far cloud's share would tilt every line."""
    points = np.vstack([sketch.X[1:], sketch.Z[1:], sketch.Y])
    centres = _random_columns(points, n_experts, rng)
    for _ in range(MEAN_STEPS):
        share = (_nearest(points, centres) == np.arange(n_experts)[:, None]) * sketch.weight
        mass = share.sum(axis=1)
        centres = np.where(mass > 0, points @ share.T / np.where(mass > 0, mass, 1.0), centres)
    return _soften(_nearest(points, centres), n_experts, own=1.0)


def cells(sketch: Block, n_experts: int, rng: np.random.Generator) -> FloatArray:
    """Cells of the gate's covariates around random rows (of the response, where the gate has none)."""
    points = sketch.Z[1:] if sketch.Z.shape[0] > 1 else sketch.Y
    return _soften(_nearest(points, _random_columns(points, n_experts, rng)), n_experts)


FAMILIES: dict[str, Family] = {
    family.__name__: family for family in (local_lines, soft_labels, clusters, elemental, cells, hard_labels)
}

#: Families that make sense for class labels: lines through label codes do not.
CATEGORICAL_FAMILIES = ("soft_labels", "cells", "hard_labels")


def make_starts(problem: Problem, n_starts: int, seed: int) -> list[Start]:
    """Starting points, going round the families; start i depends on the seed and i only.

    Parameters
    ----------
    problem : Problem
    n_starts : int
    seed : int

    Returns
    -------
    list of Start
    """
    terms, source = problem.passes.terms, problem.passes.source
    root = np.random.SeedSequence(seed)
    children = root.spawn(n_starts + 1)
    sketch = source.sketch(SKETCH_ROWS, np.random.default_rng(children[0]))
    if terms.n_experts == 1:
        whole = sketch.weight[None]
        return [Start("all_rows", start_from(problem, sketch, whole))]
    names = CATEGORICAL_FAMILIES if terms.expert.categorical else tuple(FAMILIES)
    starts = []
    for i, child in enumerate(children[1:]):
        name = names[i % len(names)]
        resp = FAMILIES[name](sketch, terms.n_experts, np.random.default_rng(child)) * sketch.weight
        starts.append(Start(name, start_from(problem, sketch, resp)))
    return starts


def start_from(problem: Problem, sketch: Block, resp: FloatArray) -> FloatArray:
    """Admissible parameters from weighted responsibilities (K, n) on a sketch."""
    terms, schema = problem.passes.terms, problem.passes.source.schema
    gate_layout, expert_layout = terms.gate_layout, terms.expert_layout
    gate = gate_layout.pack(terms.gate.start(gate_layout, sketch, resp, schema))
    expert = expert_layout.pack(terms.expert.start(expert_layout, sketch, resp, schema))
    theta = problem.admit(np.concatenate([gate, expert]))
    free = problem.free[terms.n_gate :].all()
    return theta if terms.expert.closed_form and free else _polish(problem, sketch, resp, theta)


def _polish(problem: Problem, sketch: Block, resp: FloatArray, theta: FloatArray, steps: int = 6) -> FloatArray:
    """A few damped Newton steps of the experts alone, responsibilities fixed; one that fails is halved."""
    terms: Terms = problem.passes.terms
    n = terms.n_gate
    best, best_value, move = theta, -np.inf, np.zeros(terms.size - n)
    for _ in range(steps):
        local = theta[terms.expert_columns]
        value = np.empty(resp.shape)
        terms.expert.value(local, sketch, value)
        total = float((resp * value).sum())
        if total > best_value:
            best, best_value = theta, total
            score = np.zeros_like(local)
            terms.expert.pull(local, sketch, value, resp, score)
            flat = np.zeros(terms.size)
            terms.scatter(terms.expert_columns, score, flat)
            information = ExpertInformation(terms, theta)
            information.add(Tile(sketch, value, value, value, resp, resp, sketch.weight, 0.0, Buffers()))
            move = newton_move(information.matrix, flat[n:], problem.free[n:])
        else:
            move *= 0.5
        theta = problem.admit(np.concatenate([best[:n], best[n:] + move]))
    return best


def _random_columns(points: FloatArray, n_experts: int, rng: np.random.Generator) -> FloatArray:
    n = points.shape[1]
    return points[:, rng.choice(n, size=n_experts, replace=n < n_experts)]


def _nearest(points: FloatArray, centres: FloatArray) -> IntArray:
    """Index of the centre (d, K) nearest to each point (d, n)."""
    distance = 0.5 * (centres**2).sum(axis=0)[:, None] - centres.T @ points
    nearest: IntArray = distance.argmin(axis=0)
    return nearest


def _nearest_line(sketch: Block, groups: list[IntArray]) -> FloatArray:
    y = sketch.Y - sketch.offset
    distance = np.empty((len(groups), sketch.weight.size))
    for k, rows in enumerate(groups):
        coef = np.linalg.lstsq(sketch.X[:, rows].T, y[:, rows].T, rcond=1e-8)[0]
        distance[k] = ((y - coef.T @ sketch.X) ** 2).sum(axis=0)
    return _soften(distance.argmin(axis=0), len(groups))


def _soften(labels: IntArray, n_experts: int, own: float = OWN_SHARE) -> FloatArray:
    """Responsibilities (K, n) that give each row's own expert the share ``own``."""
    rest = (1.0 - own) / max(n_experts - 1, 1)
    return np.where(labels == np.arange(n_experts)[:, None], own, rest)
