"""Independent checks of a fit, for a user who wants to see for herself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from moestat.certificate import GRADIENT_TOLERANCE
from moestat.passes import Passes
from moestat.solvers.loop import TraceRow
from moestat.typing import BoolArray, FloatArray

#: Agreement asked of the analytic score and finite differences of the log-likelihood, per row.
SCORE_TOLERANCE = 1e-8

#: A fall of the log-likelihood below this share of its size is round-off.
FALL_TOLERANCE = 1e-12


@dataclass(frozen=True)
class CheckReport:
    """Outcome of `Results.check`; ``print`` it.

    Parameters
    ----------
    score_error : float
        Largest difference per row between the analytic score and finite differences of the
        log-likelihood, near the solution.
    gradient : float
        Infinity norm of the finite-difference score per row at the solution, over the movable parameters.
    largest_fall : float
        Largest fall of the log-likelihood from one iteration to the next (0 when monotone).
    loglik : float
        Log-likelihood of the trace's last row (working units of the response).
    progress : str
        What happens from step to step, in words.
    """

    score_error: float
    gradient: float
    largest_fall: float
    loglik: float
    progress: str = "log-likelihood rose"

    @property
    def score_agrees(self) -> bool:
        return self.score_error <= SCORE_TOLERANCE

    @property
    def monotone(self) -> bool:
        return self.largest_fall <= FALL_TOLERANCE * max(1.0, abs(self.loglik))

    @property
    def stationary(self) -> bool:
        # finite differences see a gradient of 1e-8 only through their own error
        return self.gradient <= GRADIENT_TOLERANCE + SCORE_TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether all checks hold."""
        return self.score_agrees and self.monotone and self.stationary

    def __str__(self) -> str:
        def line(good: bool, text: str) -> str:
            return f"  {'ok  ' if good else 'FAIL'}  {text}"

        return "\n".join(
            [
                f"Checks {'passed' if self.passed else 'FAILED'}",
                line(self.score_agrees, f"score equals finite differences to {self.score_error:.1e} per row"),
                line(self.stationary, f"gradient by finite differences {self.gradient:.1e} per row"),
                line(self.monotone, f"{self.progress} at every step (largest fall {self.largest_fall:.1e})"),
            ]
        )


def check(
    passes: Passes, theta: FloatArray, movable: BoolArray, unit: FloatArray, trace: tuple[TraceRow, ...]
) -> CheckReport:
    """Finite-difference score at and near theta, in the given units of the parameters, and the monotone trace."""
    rows = passes.source.total_weight
    # away from the maximum the score is large enough to be compared
    near = theta + 1e-2 * unit * np.cos(np.arange(theta.size))
    error = np.abs(unit * passes.score(near).score - numerical_score(passes, near, unit)).max() / rows
    gradient = np.abs(numerical_score(passes, theta, unit)[movable]).max(initial=0.0) / rows
    fall = max((a.climbed - b.climbed for a, b in pairwise(trace) if a.climbs == b.climbs), default=0.0)
    return CheckReport(float(error), float(gradient), max(0.0, fall), trace[-1].climbed)


def numerical_score(passes: Passes, theta: FloatArray, unit: FloatArray, step: float = 1e-3) -> FloatArray:
    """Derivative of the log-likelihood per unit by extrapolated central differences (error of order step^6)."""
    out = np.empty_like(theta)
    for i, along in enumerate(np.diag(unit)):
        central = [_central(passes, theta, along, step * factor) for factor in (1.0, 0.5, 0.25)]
        first = [(4 * b - a) / 3 for a, b in pairwise(central)]
        out[i] = (16 * first[1] - first[0]) / 15
    return out


def _central(passes: Passes, theta: FloatArray, along: FloatArray, step: float) -> float:
    up = passes.loglik(theta + step * along)
    down = passes.loglik(theta - step * along)
    return (up - down) / (2 * step)
