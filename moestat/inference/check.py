"""Independent checks of a fit, for a user who wants to see for herself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from moestat.certificate import GRADIENT_TOLERANCE
from moestat.directions import complement, row_space
from moestat.passes import Passes
from moestat.solvers.loop import TraceRow
from moestat.typing import BoolArray, FloatArray

#: Agreement asked of the analytic score and finite differences of the log-likelihood, per row.
SCORE_TOLERANCE = 1e-8

#: A fall of the log-likelihood below this share of its size is round-off.
FALL_TOLERANCE = 1e-12

#: Length of a difference's longest step, in units of the parameters, and how much shorter it becomes where there are
#: kinks or jumps.
STEP = 1e-3
SHORTER = 4.0 ** -np.arange(8)


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
    unchecked : (int, int)
        Number of directions near the solution, and at it, in which differences of no length agree: kinks, or jumps
        of the likelihood, lie too near. They are left out.
    ties : int
        Number of directions across switching ties, in which a difference has no meaning; they are left out as well.
    """

    score_error: float
    gradient: float
    largest_fall: float
    loglik: float
    progress: str = "log-likelihood rose"
    unchecked: tuple[int, int] = (0, 0)
    ties: int = 0

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

        near, here = (f", {n} direction{'s' if n > 1 else ''} unchecked" if n else "" for n in self.unchecked)
        along = " along the switching ties" if self.ties else ""
        return "\n".join(
            [
                f"Checks {'passed' if self.passed else 'FAILED'}",
                line(self.score_agrees, f"score equals finite differences to {self.score_error:.1e} per row{near}"),
                line(self.stationary, f"gradient by finite differences {self.gradient:.1e} per row{along}{here}"),
                line(self.monotone, f"{self.progress} at every step (largest fall {self.largest_fall:.1e})"),
            ]
        )


def check(
    passes: Passes,
    theta: FloatArray,
    movable: BoolArray,
    unit: FloatArray,
    trace: tuple[TraceRow, ...],
    held: FloatArray | None = None,
) -> CheckReport:
    """Finite-difference score at and near theta, in the given units of the parameters, and the monotone trace.

    Along ``held`` (t, P), the margins of switching ties, there is no slope to see: beyond them the likelihood jumps.
    """
    rows, every = passes.source.total_weight, np.eye(theta.size)
    # away from the maximum the score is large enough to be compared
    near = theta + 1e-2 * unit * np.cos(np.arange(theta.size))
    expected = unit * passes.score(near).score / rows
    found, trusted = _slopes(passes, near, every * unit)
    error = np.abs(found - expected)[trusted].max(initial=0.0) if trusted.any() else np.nan  # nothing seen
    normals = row_space(np.where(movable, np.zeros((0, theta.size)) if held is None else held, 0.0) * unit)
    along, here = _slopes(
        passes, theta, complement(normals, movable).T * unit if len(normals) else every[movable] * unit
    )
    gradient = np.abs(along[here]).max(initial=0.0)
    fall = max((a.climbed - b.climbed for a, b in pairwise(trace) if a.climbs == b.climbs), default=0.0)
    unchecked = int((~trusted).sum()), int((~here).sum())
    return CheckReport(
        float(error), float(gradient), max(0.0, fall), trace[-1].climbed, unchecked=unchecked, ties=len(normals)
    )


def _slopes(passes: Passes, theta: FloatArray, directions: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Slopes per row along directions (m, P) by differences, and which of them can be trusted (m,).

    Steps become shorter until differences of several lengths agree: then none of them has met a kink or a jump.
    """
    found = [_settled(passes, theta, along) for along in directions]
    slopes, doubts = np.array(found).reshape(-1, 2).T / passes.source.total_weight
    return slopes, doubts <= SCORE_TOLERANCE


def _settled(passes: Passes, theta: FloatArray, along: FloatArray) -> tuple[float, float]:
    """The slope that differences of several lengths agree on best, and by how much they differ."""
    enough = 0.1 * SCORE_TOLERANCE * passes.source.total_weight
    best = (0.0, np.inf)
    for shorter in SHORTER:
        found = _extrapolated(passes, theta, along, STEP * shorter)
        if found[1] < best[1]:
            best = found
        if best[1] <= enough:
            break
    return best


def numerical_score(passes: Passes, theta: FloatArray, unit: FloatArray, step: float = STEP) -> FloatArray:
    """Derivative of the log-likelihood per unit by extrapolated central differences (error of order step^6)."""
    return np.array([_extrapolated(passes, theta, along, step)[0] for along in np.diag(unit)])


def _extrapolated(passes: Passes, theta: FloatArray, along: FloatArray, step: float) -> tuple[float, float]:
    """Slope along a direction, and how far the last two estimates of it are apart."""
    central = [_central(passes, theta, along, step * factor) for factor in (1.0, 0.5, 0.25)]
    first = [(4 * b - a) / 3 for a, b in pairwise(central)]
    return (16 * first[1] - first[0]) / 15, abs(first[1] - first[0])


def _central(passes: Passes, theta: FloatArray, along: FloatArray, step: float) -> float:
    up = passes.loglik(theta + step * along)
    down = passes.loglik(theta - step * along)
    return (up - down) / (2 * step)
