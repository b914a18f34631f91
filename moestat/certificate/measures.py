"""What is maximised, in the words and figures of a reader: a log-likelihood, or a sum of squares that is minimised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moestat.certificate.status import Status


@dataclass(frozen=True)
class Measure:
    """How a certificate speaks of levels.

    Parameters
    ----------
    name : str
        What is maximised, or minimised.
    reading : callable
        From a level that is maximised, the number of rows and the floor of a mean square to the figure of a reader.
    headlines : mapping
        The verdict on every kind of end point.
    column : str
        Its column in tables of starts and iterations.
    sign : int
        1 where more is better, -1 where less is.
    better : str
        In which direction better solutions lie.
    limit : str
        What is approached along a ray to infinity.
    limits : str
        The same, several of them.
    approach : str
        What the figure does on the way there.
    optimum : str
        What is sought.
    endless : str
        What goes on without end where that is only approached.
    progress : str
        What happens from step to step.
    has_floors : bool
        Whether variances have floors.
    jumps : str
        What jumps where rows change their experts.
    kinds : mapping
        The kinds of end points, where these are said in other words.
    stops : mapping
        Why a solver stopped, where that is said in other words.
    """

    name: str
    reading: Callable[[Any, float, float], Any]
    headlines: Mapping[Status, str]
    column: str
    sign: int
    better: str
    limit: str
    limits: str
    approach: str
    optimum: str
    endless: str
    progress: str
    has_floors: bool
    jumps: str
    kinds: Mapping[Status, str] = field(default_factory=dict)
    stops: Mapping[str, str] = field(default_factory=dict)

    def kind(self, status: Status) -> str:
        """A kind of end point in words."""
        return self.kinds.get(status, status.value)


def _as_it_is(level: Any, rows: float, floor: float) -> Any:
    return level


def _sum_of_squares(level: Any, rows: float, floor: float) -> Any:
    """RSS of -n/2 log(RSS / n + floor)."""
    return rows * np.maximum(np.exp(-2.0 * np.asarray(level) / rows) - floor, 0.0)


LIKELIHOOD = Measure(
    name="log-likelihood",
    reading=_as_it_is,
    headlines={
        Status.STRICT_MAXIMUM: "a strict interior maximum of the likelihood.",
        Status.AT_BOUND: "a strict maximum inside the user's bounds, some of which hold it back.",
        Status.AT_TIES: "a local maximum at switching ties: rows that change their experts there hold it back.",
        Status.FLAT_MAXIMUM: "a maximum with flat directions: not every parameter is identified.",
        Status.RUNAWAY: "no finite maximum: the likelihood rises towards its supremum along a ray (separation).",
        Status.SPIKE: "a spike: an expert rests on a few rows, as one could in any sample.",
        Status.AT_FLOOR: "a spike: a variance sits on its floor, the likelihood has no finite maximum there.",
        Status.SADDLE: "a saddle point: the gradient is zero, but some direction still leads up.",
        Status.NOT_CONVERGED: "not converged: the gradient is not zero; do not use these estimates.",
    },
    column="loglik",
    sign=1,
    better="higher",
    limit="supremum",
    limits="suprema",
    approach="rising",
    optimum="maximum",
    endless="the likelihood rises for ever",
    progress="log-likelihood rose",
    has_floors=True,
    jumps="likelihood",
)

SQUARES = Measure(
    name="sum of squares",
    reading=_sum_of_squares,
    headlines={
        Status.STRICT_MAXIMUM: "a strict interior minimum of the sum of squares.",
        Status.AT_BOUND: "a strict minimum inside the user's bounds, some of which hold it back.",
        Status.AT_TIES: "a local minimum at switching ties: rows that change their experts there hold it back.",
        Status.FLAT_MAXIMUM: "a minimum with flat directions: not every parameter is identified.",
        Status.RUNAWAY: "no finite minimum: the sum of squares falls towards its infimum along a ray.",
        Status.SPIKE: "a spike: an expert rests on a few rows, as one could in any sample.",
        Status.AT_FLOOR: "a minimum on a floor.",
        Status.SADDLE: "a saddle point: the gradient is zero, but some direction still leads down.",
        Status.NOT_CONVERGED: "not converged: the gradient is not zero; do not use these estimates.",
    },
    column="rss",
    sign=-1,
    better="lower",
    limit="infimum",
    limits="infima",
    approach="falling",
    optimum="minimum",
    endless="the sum of squares falls for ever",
    progress="sum of squares fell",
    has_floors=False,
    jumps="sum of squares",
    kinds={
        status: status.value.replace("maximum", "minimum").replace("supremum", "infimum").replace("variance ", "")
        for status in Status
    },
    stops={
        "the log-likelihood cannot be raised in double precision": "the sum of squares cannot be lowered in double "
        "precision",
        "the log-likelihood creeps, with a gradient that counts as zero": "the sum of squares creeps, with a gradient "
        "that counts as zero",
        "no step along the ascent direction raised the log-likelihood": "no step along the descent direction lowered "
        "the sum of squares",
    },
)

MEASURES = {"likelihood": LIKELIHOOD, "least_squares": SQUARES}
