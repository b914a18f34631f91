"""Solvers: settings as frozen records, one loop that runs them all.

A solver has ``init(problem, theta) -> state``, ``step(problem, state) -> state`` and
``finished(state) -> Stop or None``; `solve` owns the loop and the trace.
"""

from moestat.errors import InputError
from moestat.solvers.across import AcrossTies, relaxed
from moestat.solvers.annealing import Annealing
from moestat.solvers.classification import ClassificationEM
from moestat.solvers.default import EMThenNewton
from moestat.solvers.em import EM
from moestat.solvers.least_squares import LeastSquaresNewton
from moestat.solvers.loop import Solution, Solver, State, Stop, TraceRow, go_on, solve
from moestat.solvers.newton import TrustRegionNewton
from moestat.solvers.problem import Problem
from moestat.solvers.rules import Rules
from moestat.solvers.sampled import SampleFirst, from_sample, thinned
from moestat.solvers.squarem import SQUAREM

SOLVERS: dict[str, type[Solver]] = {
    "em": EM,
    "classification_em": ClassificationEM,
    "squarem": SQUAREM,
    "newton": TrustRegionNewton,
    "em_newton": EMThenNewton,
    "annealing": Annealing,
    "across_ties": AcrossTies,
}


def solver_named(name: str) -> Solver:
    """A solver of `SOLVERS` with its default settings."""
    if not isinstance(name, str) or name not in SOLVERS:
        raise InputError(
            f"solver must be one of {', '.join(map(repr, SOLVERS))}; got {name!r}. "
            "For other settings pass a solver itself, such as moestat.solvers.EM(max_iter=100)."
        )
    return SOLVERS[name]()


def default_solver(problem: Problem) -> Solver:
    """What finishes a fit: Newton steps, and tries across ties where the gate's weights jump."""
    return EMThenNewton() if problem.passes.terms.gate.continuous else AcrossTies(patience=0, walks=0, crossing=False)


__all__ = [
    "EM",
    "SOLVERS",
    "SQUAREM",
    "AcrossTies",
    "Annealing",
    "ClassificationEM",
    "EMThenNewton",
    "LeastSquaresNewton",
    "Problem",
    "Rules",
    "SampleFirst",
    "Solution",
    "Solver",
    "State",
    "Stop",
    "TraceRow",
    "TrustRegionNewton",
    "default_solver",
    "from_sample",
    "go_on",
    "relaxed",
    "solve",
    "solver_named",
    "thinned",
]
