"""What a fit may maximise, or minimise: what is fitted of a model, where starts come from, and what is returned.

Layout, coordinates, solvers, certificate and the way through them are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from moestat.bounds import Bounds
from moestat.errors import InputError
from moestat.model import MixtureOfExperts
from moestat.regression import RegressionFunction
from moestat.results import Results
from moestat.search import Law, Search, SquaresSearch
from moestat.solvers import Problem
from moestat.squares_results import LeastSquaresResults
from moestat.starts import RegressionStarts, StartLaw


@dataclass(frozen=True)
class Objective:
    """One of the ways to fit a model.

    Parameters
    ----------
    model : callable
        From the user's model to what is fitted of it.
    law : callable
        Starting points of that model's problem, from a seed, families and bounds.
    search : type
    results : type
    """

    model: Callable[[MixtureOfExperts], Any]
    law: Callable[[Any, Problem, int, Sequence[str] | None, Bounds], Law]
    search: type[Search]
    results: type[Results]


def _with_densities(model: MixtureOfExperts) -> MixtureOfExperts:
    """The user's model, if it has a density; of a regression function, the model that it is of."""
    model.gate.check_density()
    return model.whole if isinstance(model, RegressionFunction) else model


def _starts(
    model: MixtureOfExperts, problem: Problem, seed: int, families: Sequence[str] | None, bounds: Bounds
) -> StartLaw:
    return StartLaw.of(problem, seed, families)


OBJECTIVES = {
    "likelihood": Objective(_with_densities, _starts, Search, Results),
    "least_squares": Objective(RegressionFunction, RegressionStarts.of, SquaresSearch, LeastSquaresResults),
}


def objective_named(name: object) -> Objective:
    """One of `OBJECTIVES`."""
    if not isinstance(name, str) or name not in OBJECTIVES:
        raise InputError(f"objective must be one of {', '.join(map(repr, OBJECTIVES))}; got {name!r}.")
    return OBJECTIVES[name]
