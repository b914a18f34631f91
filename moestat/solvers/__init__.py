"""Solvers: settings as frozen records, one loop that runs them all.

A solver has ``init(problem, theta) -> state``, ``step(problem, state) -> state`` and
``finished(state) -> Stop or None``; `solve` owns the loop and the trace.
"""

from moestat.solvers.default import EMThenNewton
from moestat.solvers.em import EM
from moestat.solvers.loop import Solution, Solver, State, Stop, TraceRow, solve
from moestat.solvers.newton import TrustRegionNewton
from moestat.solvers.problem import Problem

SOLVERS: dict[str, type] = {"em": EM, "newton": TrustRegionNewton, "em_newton": EMThenNewton}

__all__ = [
    "EM",
    "SOLVERS",
    "EMThenNewton",
    "Problem",
    "Solution",
    "Solver",
    "State",
    "Stop",
    "TraceRow",
    "TrustRegionNewton",
    "solve",
]
