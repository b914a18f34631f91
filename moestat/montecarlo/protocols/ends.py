"""Runs of a solver from given starts, and what their ends are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from moestat.certificate import examine
from moestat.montecarlo.protocols.base import End, Task
from moestat.representative import canonical
from moestat.solvers import Problem, Solution, Solver, solve
from moestat.starts import NearTruth, StartLaw
from moestat.typing import FloatArray

#: Log-likelihoods that agree to this share of their size belong to one end point.
SAME_LOGLIK = 1e-8


def runs(problem: Problem, solver: Solver, starts: Iterable[FloatArray]) -> list[Solution]:
    """A run from each start (P,), in working coordinates."""
    return [solve(problem, solver, theta) for theta in starts]


def highest(task: Task, problem: Problem, solutions: list[Solution]) -> End:
    """The end of the highest likelihood, and what kind of point it is."""
    levels = np.array([solution.loglik for solution in solutions])
    best = solutions[int(levels.argmax())]
    theta = canonical(problem, best.theta)
    model, source = task.fit.model, problem.passes.source
    optimum, _ = examine(problem, theta, model.names(source.schema), problem.shift)
    return End(
        params=model.from_theta(theta, source.schema, source.coordinates),
        loglik=optimum.loglik,
        status=optimum.status,
        gradient=optimum.gradient,
        smallest_eigenvalue=float(optimum.eigenvalues.min(initial=np.inf)),
        n_iter=best.n_iter,
        n_starts=len(solutions),
        n_reached=reached(levels, problem.total_weight),
        n_bounds=len(optimum.bounds),
        trusted=optimum.status.trusted,
        notes=(best.stop.value,),
    )


def reached(levels: FloatArray, n_rows: float) -> int:
    """How many log-likelihoods are the highest."""
    best = float(levels.max())
    return int((levels >= best - SAME_LOGLIK * (n_rows + abs(best))).sum())


def near_truth(task: Task, law: NearTruth, word: str, count: int) -> list[FloatArray]:
    """Starts (P,) near the truth: parameters in the user's units, packed."""
    rng, layout = task.rng(word), task.fit.model.layout(task.schema)
    drawn = (law.draw(task.fit.model, task.truth.params, task.n, rng, task.truth.model) for _ in range(count))
    return [layout.pack(params) for params in drawn]


def data_driven(task: Task, problem: Problem, count: int) -> list[FloatArray]:
    """Starts (P,) made from the data: parameters in the user's units, packed."""
    from itertools import islice

    source, model = problem.passes.source, task.fit.model
    layout = model.layout(source.schema)
    law = StartLaw.of(problem, task.seed_of("starts"))
    admitted = (problem.admit(start.theta) for start in islice(law, count))
    return [layout.pack(model.from_theta(theta, source.schema, source.coordinates)) for theta in admitted]


def in_working_units(task: Task, problem: Problem, packed: Iterable[FloatArray]) -> list[FloatArray]:
    """Packed parameters in the user's units, taken to the problem's coordinates."""
    source, model = problem.passes.source, task.fit.model
    layout = model.layout(source.schema)
    return [model.to_theta(layout.unpack(start), source.schema, source.coordinates) for start in packed]
