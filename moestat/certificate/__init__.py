"""What kind of optimum a fit reached, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from moestat.directions import complement, readable
from moestat.solvers.newton import ROUNDOFF
from moestat.solvers.problem import Problem
from moestat.sums import HessianSums
from moestat.typing import BoolArray, FloatArray

#: A score below this per row, in standardised coordinates, counts as zero.
GRADIENT_TOLERANCE = 1e-8

#: Eigenvalues of the information below this share of the largest, or below round-off, count as flat.
FLAT_TOLERANCE = 1e-10
NO_INFORMATION = 1e-15

#: Length (working coordinates) of the step uphill that must gain nothing where the gradient is zero, unless a ray
#: to infinity begins there; directions are suspect where a Newton step is longer than a tenth of it.
RUNAWAY_STEP = 0.1

#: Log-likelihood per row of class labels beyond which every class is predicted with certainty.
SATURATED = 1e-9

#: An expert with fewer rows than this is said to have almost no mass.
SMALL_MASS = 1.0


class Status(Enum):
    """Kinds of end points, best first; the value is how a certificate says it."""

    STRICT_MAXIMUM = "strict interior maximum"
    FLAT_MAXIMUM = "maximum with flat directions"
    RUNAWAY = "supremum at infinity"
    AT_FLOOR = "maximum on the variance floor (a spike)"
    SADDLE = "saddle point"
    NOT_CONVERGED = "not converged"

    @property
    def rank(self) -> int:
        """Order in which solutions are preferred, before their log-likelihood; flat maxima and suprema are equals."""
        return list(Status).index(Status.FLAT_MAXIMUM if self is Status.RUNAWAY else self)


#: Share of their size by which two log-likelihoods must differ to count as different.
DISTINCT_LOGLIK = 1e-8

#: Kinds without a finite, unique maximiser whose log-likelihood is bounded all the same.
UNBOUNDED = (Status.FLAT_MAXIMUM, Status.RUNAWAY)


@dataclass(frozen=True, eq=False)
class Optimum:
    """A point and what it is.

    Parameters
    ----------
    status : Status
    loglik : float
        Sum over rows, in nats and in the units of the raw response.
    gradient : float
        Infinity norm of the projected score per row, in standardised (working) coordinates.
    fine_gradient : float
        The same in finer units where a row tells more than one about a parameter: the round-off of a score
        grows with the information, so this is what is compared with zero.
    eigenvalues : ndarray
        Of the observed information per row, modulo the declared invariances, held parameters and active
        floors; ascending.
    invariances : int
        Number of declared invariances set aside.
    flat : tuple of str
        Flat directions beyond the declared ones, in words.
    runaway : tuple of str
        Directions along which the log-likelihood rises for ever towards its supremum, in words.
    lost : ndarray (f, P)
        Both kinds of directions, of length one, in working coordinates.
    floors : tuple of str
        Names of parameters on their floor.
    empty : tuple of int
        Experts (from 1) with almost no mass.
    masses : ndarray (K,)
        Expected number of rows of each expert.
    movable : ndarray of bool (P,)
        Parameters that are neither held nor on a floor.
    """

    status: Status
    loglik: float
    gradient: float
    fine_gradient: float
    eigenvalues: FloatArray
    invariances: int
    flat: tuple[str, ...]
    runaway: tuple[str, ...]
    lost: FloatArray = field(repr=False)
    floors: tuple[str, ...]
    empty: tuple[int, ...]
    masses: FloatArray
    movable: BoolArray = field(repr=False)

    @property
    def n_identified(self) -> int:
        """Number of parameters that the model has to spend: all but invariances and flat directions.

        A direction that runs away counts: its parameter is determined, at infinity.
        """
        return self.eigenvalues.size - len(self.flat) + len(self.floors)


@dataclass(frozen=True)
class Rival:
    """A solution that other starts reached: its kind, log-likelihood and how many starts ended there."""

    status: Status
    loglik: float
    n_starts: int


@dataclass(frozen=True, eq=False)
class Certificate:
    """The verdict on a fit; ``print`` it.

    Parameters
    ----------
    optimum : Optimum
        The reported solution.
    n_starts : int
        Number of starts made.
    n_finished : int
        Number of starts carried to their end.
    n_reached : int
        Number of finished starts that ended at the reported solution.
    rivals : tuple of Rival
        What the others reached.
    stop : str
        Why the solver stopped.
    n_rows : float
        Number of rows (sum of weights).
    n_experts : int
    """

    optimum: Optimum
    n_starts: int
    n_finished: int
    n_reached: int
    rivals: tuple[Rival, ...]
    stop: str
    n_rows: float
    n_experts: int

    @property
    def status(self) -> Status:
        """The kind of optimum."""
        return self.optimum.status

    @property
    def loglik(self) -> float:
        """Log-likelihood of the reported solution (a sum, in nats)."""
        return self.optimum.loglik

    @property
    def grad_norm(self) -> float:
        """Infinity norm of the score per row, in standardised coordinates."""
        return self.optimum.gradient

    @property
    def eigenvalues(self) -> FloatArray:
        """Eigenvalues of the information per row, modulo the declared invariances."""
        return self.optimum.eigenvalues

    @property
    def trusted(self) -> bool:
        """Whether the solution is a strict interior maximum, and no start went higher but to a spike."""
        return self.status is Status.STRICT_MAXIMUM and not self.higher

    @property
    def higher(self) -> tuple[Rival, ...]:
        """Flat maxima and suprema at infinity of higher log-likelihood than the reported solution."""
        least = self.loglik + DISTINCT_LOGLIK * (1.0 + abs(self.loglik))
        return tuple(r for r in self.rivals if r.status in UNBOUNDED and r.loglik > least)

    def __str__(self) -> str:
        return "\n".join(_verdict(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for storage."""
        o = self.optimum
        return {
            "status": o.status.name,
            "loglik": o.loglik,
            "gradient": o.gradient,
            "fine_gradient": o.fine_gradient,
            "eigenvalues": o.eigenvalues.tolist(),
            "invariances": o.invariances,
            "flat": list(o.flat),
            "floors": list(o.floors),
            "empty": list(o.empty),
            "masses": o.masses.tolist(),
            "runaway": list(o.runaway),
            "lost": o.lost.tolist(),
            "movable": o.movable.tolist(),
            "n_starts": self.n_starts,
            "n_finished": self.n_finished,
            "n_reached": self.n_reached,
            "rivals": [[r.status.name, r.loglik, r.n_starts] for r in self.rivals],
            "stop": self.stop,
            "n_rows": self.n_rows,
            "n_experts": self.n_experts,
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Certificate:
        """The inverse of `to_dict`."""
        optimum = Optimum(
            status=Status[values["status"]],
            loglik=values["loglik"],
            gradient=values["gradient"],
            fine_gradient=values["fine_gradient"],
            eigenvalues=np.array(values["eigenvalues"], dtype=np.float64),
            invariances=values["invariances"],
            flat=tuple(values["flat"]),
            floors=tuple(values["floors"]),
            empty=tuple(values["empty"]),
            masses=np.array(values["masses"], dtype=np.float64),
            runaway=tuple(values["runaway"]),
            lost=np.array(values["lost"], dtype=np.float64).reshape(-1, len(values["movable"])),
            movable=np.array(values["movable"], dtype=bool),
        )
        rivals = tuple(Rival(Status[name], loglik, count) for name, loglik, count in values["rivals"])
        counts = {name: values[name] for name in ("n_starts", "n_finished", "n_reached", "stop", "n_rows", "n_experts")}
        return Certificate(optimum=optimum, rivals=rivals, **counts)


# --------------------------------------------------------------------------------------- examination
def examine(problem: Problem, theta: FloatArray, names: list[str], log_jacobian: float) -> tuple[Optimum, HessianSums]:
    """Say what kind of point theta is, from one Hessian pass over all rows.

    Parameters
    ----------
    problem : Problem
    theta : ndarray (P,)
    names : list of str
        Parameter names, for flat directions and floors.
    log_jacobian : float
        Added to the log-likelihood in working units to give raw units.

    Returns
    -------
    Optimum, HessianSums
    """
    sums = problem.passes.hessian(theta)
    movable = problem.movable(theta, sums.score)
    on_floor = problem.active(theta) & ~movable
    around = _look_around(problem, theta, sums, movable)
    masses = problem.passes.shares(theta).mass
    optimum = Optimum(
        status=_status(around, on_floor),
        loglik=_bounded(problem, sums.loglik) + log_jacobian,
        gradient=problem.gradient_norm(theta, sums.score),
        fine_gradient=around.gradient,
        eigenvalues=around.eigenvalues,
        invariances=len(problem.invariances(theta, movable)),
        flat=tuple(in_words(direction, names) for direction in around.flat),
        runaway=tuple(in_words(direction, names) for direction in around.runaway),
        lost=np.vstack([around.flat, around.runaway]),
        floors=tuple(name for name, active in zip(names, on_floor, strict=True) if active),
        empty=tuple(int(k) + 1 for k in np.flatnonzero(masses < SMALL_MASS * problem.weight_of_a_row)),
        masses=masses,
        movable=movable,
    )
    return optimum, sums


@dataclass(frozen=True)
class _Surroundings:
    """Gradient, eigenvalues of the information, and directions (f, P) that lead nowhere or, uphill, to infinity."""

    gradient: float
    eigenvalues: FloatArray
    leads_up: bool
    flat: FloatArray
    runaway: FloatArray


def _look_around(problem: Problem, theta: FloatArray, sums: HessianSums, movable: BoolArray) -> _Surroundings:
    unit = problem.unit(sums.hessian)
    information = -sums.hessian / problem.total_weight * np.outer(unit, unit)
    score = unit * problem.projected(theta, sums.score)
    gradient = problem.gradient_norm(theta, sums.score, unit)
    basis = complement(problem.invariances(theta, movable) / unit, movable)
    eigenvalues, vectors = np.linalg.eigh(basis.T @ information @ basis)
    directions = (basis @ vectors).T
    size, slope = np.abs(eigenvalues), directions @ score
    directions *= unit
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    flat = size < max(FLAT_TOLERANCE * float(size.max(initial=0.0)), NO_INFORMATION)
    # at a maximum nothing is left to go; on the way to infinity a Newton step stays long however small the gradient
    suspect = flat | (np.abs(slope) > 0.1 * RUNAWAY_STEP * size)
    uphill = np.copysign(1.0, slope)[:, None] * directions
    runaway = suspect & (gradient <= GRADIENT_TOLERANCE)
    runaway[runaway] = _still_gains(problem, theta, uphill[runaway])
    if _is_saturated(problem, sums.loglik):  # classes predicted with certainty: flat, but on the way to infinity
        runaway |= flat | (eigenvalues <= 0)
    flat &= ~runaway
    return _Surroundings(
        gradient=gradient,
        eigenvalues=eigenvalues,
        leads_up=bool((eigenvalues[~flat & ~runaway] < 0).any()),
        flat=readable(directions[flat]),
        runaway=uphill[runaway],
    )


def _bounded(problem: Problem, loglik: float) -> float:
    """A probability is at most one, also after rounding."""
    return min(loglik, 0.0) if problem.passes.terms.expert.categorical else loglik


def _is_saturated(problem: Problem, loglik: float) -> bool:
    """Whether the log-likelihood of a categorical response is at its upper bound, zero: complete separation."""
    return problem.passes.terms.expert.categorical and loglik > -SATURATED * problem.total_weight


def _still_gains(problem: Problem, theta: FloatArray, uphill: FloatArray) -> list[bool]:
    """Whether a step of `RUNAWAY_STEP` along each direction raises the log-likelihood beyond round-off."""
    if not len(uphill):
        return []
    here = problem.passes.loglik(theta)
    least = ROUNDOFF * max(problem.total_weight, abs(here))
    return [problem.passes.loglik(theta + RUNAWAY_STEP * direction) - here > least for direction in uphill]


def _status(around: _Surroundings, on_floor: BoolArray) -> Status:
    if not around.gradient <= GRADIENT_TOLERANCE:
        return Status.NOT_CONVERGED
    if around.leads_up:
        return Status.SADDLE
    if on_floor.any():
        return Status.AT_FLOOR
    if len(around.runaway):
        return Status.RUNAWAY
    return Status.FLAT_MAXIMUM if len(around.flat) else Status.STRICT_MAXIMUM


def in_words(direction: FloatArray, names: list[str], most: int = 4) -> str:
    """A direction by its largest loadings: ``gate[1].x1 (+0.71), gate[2].x1 (-0.71)``."""
    order = np.argsort(-np.abs(direction), kind="stable")[:most]
    loadings = [f"{names[i]} ({direction[i]:+.2f})" for i in order if abs(direction[i]) > 0.1]
    return ", ".join(loadings)


# --------------------------------------------------------------------------------------- wording
#: Rivals or directions of one kind that are listed one by one; more are summed up.
LISTED = 3


def _verdict(c: Certificate) -> list[str]:
    o = c.optimum
    lines = [f"Verdict: {_headline(o)}"]
    if c.higher:
        count = sum(rival.n_starts for rival in c.higher)
        lines.append(f"  But {count} start{'s' if count > 1 else ''} went higher, to no finite maximum; see below.")
    lines.append(f"  log-likelihood     {o.loglik:.10g} over {c.n_rows:g} rows")
    lines.append(f"  gradient           {_gradient(o)}")
    lines.append(f"  information        {_information(o)}")
    lines += _directions("flat", o.flat) + _directions("running away", o.runaway)
    floors = ", ".join(o.floors) if o.floors else "none active"
    lines.append(f"  variance floor     {floors}")
    lines.append(f"  experts            {_masses(o)}")
    lines.append(f"  starts             {_starts(c)}")
    lines += [f"    {text}" for text in _rivals(c)]
    if c.n_reached == 1 and c.n_finished > 1:
        lines.append("    seen once only: a better solution may exist; raise n_starts")
    lines.append(f"  solver             stopped because {c.stop}")
    return lines


def _headline(o: Optimum) -> str:
    return {
        Status.STRICT_MAXIMUM: "a strict interior maximum of the likelihood.",
        Status.FLAT_MAXIMUM: "a maximum with flat directions: not every parameter is identified.",
        Status.RUNAWAY: "no finite maximum: the likelihood rises towards its supremum along a ray (separation).",
        Status.AT_FLOOR: "a spike: a variance sits on its floor, the likelihood has no finite maximum there.",
        Status.SADDLE: "a saddle point: the gradient is zero, but some direction still leads up.",
        Status.NOT_CONVERGED: "not converged: the gradient is not zero; do not use these estimates.",
    }[o.status]


def _gradient(o: Optimum) -> str:
    text = f"{o.gradient:.1e} per row in standardised coordinates"
    if o.fine_gradient > GRADIENT_TOLERANCE:
        return f"{text}: NOT zero (limit {GRADIENT_TOLERANCE:.0e})"
    if o.gradient > GRADIENT_TOLERANCE:
        return f"{text}, {o.fine_gradient:.1e} in units of the information: zero to rounding"
    return f"{text}: zero (limit {GRADIENT_TOLERANCE:.0e})"


def _directions(kind: str, words: tuple[str, ...]) -> list[str]:
    lines = [f"    {kind:16s} {direction}" for direction in words[:LISTED]]
    rest = len(words) - LISTED
    return lines + ([f"    {kind:16s} and {rest} more direction{'s' if rest > 1 else ''}"] if rest > 0 else [])


def _information(o: Optimum) -> str:
    if not o.eigenvalues.size:
        return "no free parameter"
    if not o.flat and o.eigenvalues[0] > 0:
        text = f"positive definite, eigenvalues {o.eigenvalues[0]:.2e} to {o.eigenvalues[-1]:.2e} per row"
    else:
        negative = int((o.eigenvalues < 0).sum())
        text = f"eigenvalues {o.eigenvalues[0]:.2e} to {o.eigenvalues[-1]:.2e} per row; {len(o.flat)} flat"
        text += f", {negative} negative" if negative and o.status is Status.SADDLE else ""
    aside = f" ({o.invariances} declared invariances set aside)" if o.invariances else ""
    return text + aside


def _masses(o: Optimum) -> str:
    shares = ", ".join(f"{mass:.1f}" for mass in o.masses)
    empty = f"; expert {', '.join(map(str, o.empty))} has almost no mass" if o.empty else ""
    return f"{shares} rows{empty}"


def _starts(c: Certificate) -> str:
    tried = f"{c.n_starts} start{'s' if c.n_starts != 1 else ''}"
    if c.n_finished < c.n_starts:
        return f"{c.n_reached} of the {c.n_finished} most promising of {tried} reached this solution"
    return f"{c.n_reached} of {tried} reached this solution"


def _rivals(c: Certificate) -> list[str]:
    """What the other starts reached, kind by kind."""
    lines = []
    for status in Status:
        rivals = [r for r in c.rivals if r.status is status]
        lines += [_rival(c, rival) for rival in rivals[:LISTED]]
        if rest := rivals[LISTED:]:
            lowest = min(r.loglik for r in rest)
            lines.append(f"{sum(r.n_starts for r in rest)} more down to {lowest:.6g}: {status.value}")
    return lines


def _rival(c: Certificate, rival: Rival) -> str:
    gap = rival.loglik - c.loglik
    kind = f"another {rival.status.value}" if rival.status is c.status else rival.status.value
    return f"{rival.n_starts} ended at {rival.loglik:.6g} ({gap:+.4g}): {kind}"
