"""Say what kind of point a fit ended at, from one Hessian pass over all rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from moestat.certificate.behind import RowsBehind, on_few_rows, spikes
from moestat.certificate.optimum import Optimum
from moestat.certificate.rays import follow, gains, is_step
from moestat.certificate.status import GRADIENT_TOLERANCE, Status
from moestat.certificate.words import Namer
from moestat.directions import complement, readable
from moestat.passes import SecondOrder
from moestat.solvers.problem import Problem
from moestat.solvers.ties import Tie, crossing, normals, ties_at
from moestat.typing import BoolArray, FloatArray

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


def examine(
    problem: Problem, theta: FloatArray, names: list[str], log_jacobian: float, sums: SecondOrder | None = None
) -> tuple[Optimum, SecondOrder]:
    """Say what kind of point theta is.

    Parameters
    ----------
    problem : Problem
    theta : ndarray (P,)
    names : list of str
        Parameter names, for flat directions, bounds and floors.
    log_jacobian : float
        Added to the log-likelihood in working units to give raw units.
    sums : SecondOrder, optional
        The pass of second order over all rows at theta, by one who has just made it.

    Returns
    -------
    Optimum, SecondOrder
    """
    ties = ties_at(problem, theta)
    problem = replace(problem, ties=normals(problem, theta, ties))
    passes = problem.passes
    sums = passes.hessian(theta) if sums is None else sums
    slopes = problem.chart.score(theta, sums.score)
    movable = problem.movable(theta, slopes)
    blocked = problem.active(theta) & ~movable
    at_limit = problem.near_limit(theta) & (blocked | (np.abs(slopes) <= GRADIENT_TOLERANCE * problem.total_weight))
    movable, blocked = movable & ~at_limit, blocked & ~at_limit
    on_floor = blocked & problem.on_floor(theta)
    behind = passes.reduce(partial(RowsBehind, passes.terms), theta)
    few = spikes(problem, theta, behind)
    around = _look_around(problem, theta, sums, movable, at_limit)
    ray = follow(problem, theta, around.runaway, _left_to_gain(around))
    n_declared, declared = problem.declared(theta, movable)
    namer = Namer(problem, theta, names, behind.mass)
    flat, runaway = (_as_directions(problem, theta, steps) for steps in (around.flat, around.runaway))
    status = _status(around, blocked, on_floor, few, ties)
    optimum = Optimum(
        status=status,
        loglik=_bounded(problem, sums.loglik) + log_jacobian,
        gradient=problem.gradient_norm(theta, sums.score),
        fine_gradient=around.gradient,
        eigenvalues=around.eigenvalues,
        dimension=int(problem.free.sum()) - len(problem.invariances(theta, problem.free)),
        invariances=n_declared,
        declared=declared,
        flat=tuple(namer.flat(direction) for direction in flat),
        runaway=tuple(namer.loadings(direction) for direction in runaway),
        lost=np.vstack([flat, runaway]),
        floors=_named(names, on_floor),
        bounds=_named(names, blocked & ~on_floor),
        empty=tuple(int(k) + 1 for k in np.flatnonzero(behind.mass < SMALL_MASS * problem.weight_of_a_row)),
        spikes=tuple(k + 1 for k in few),
        few=tuple((k + 1, rows) for k, rows in sorted(on_few_rows(problem, behind).items())),
        masses=behind.mass,
        movable=movable | at_limit,
        ahead=_bounded(problem, ray.limit) - _bounded(problem, sums.loglik),
        monotone=ray.monotone or bool(at_limit.any()),
        partition=ray.partition,
        towards=_limit(problem, around, at_limit, behind.mass) if status is Status.RUNAWAY else "",
        ties=tuple(namer.tie(tie, crossing(problem, theta, ties, m)) for m, tie in enumerate(ties)),
        held=problem.ties,
        jumps=not passes.terms.gate.continuous,
        kinks=not passes.terms.smooth,
    )
    return optimum, sums


@dataclass(frozen=True)
class _Surroundings:
    """Gradient, eigenvalues of the information, and directions that lead nowhere or, uphill, to infinity.

    All are in the coordinates of the chart (f, P).
    """

    gradient: float
    eigenvalues: FloatArray
    leads_up: bool
    flat: FloatArray
    runaway: FloatArray
    slope: FloatArray  # of the log-likelihood per row along each runaway direction, and its curvature there
    bend: FloatArray


def _look_around(
    problem: Problem, theta: FloatArray, sums: SecondOrder, movable: BoolArray, at_limit: BoolArray
) -> _Surroundings:
    chart = problem.chart
    hessian = chart.hessian(theta, sums.score, sums.hessian)
    unit = problem.unit(hessian)
    information = -hessian / problem.total_weight * np.outer(unit, unit)
    slopes = chart.score(theta, sums.score)
    score = unit * problem.projected(theta, slopes)
    gradient = problem.steepness(theta, sums.score, unit)
    basis = complement(problem.aside(theta, movable, unit), movable)
    eigenvalues, vectors = np.linalg.eigh(basis.T @ information @ basis)
    directions = (basis @ vectors).T
    size, slope = np.abs(eigenvalues), directions @ score
    directions *= unit
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    flat = size < max(FLAT_TOLERANCE * float(size.max(initial=0.0)), NO_INFORMATION)
    uphill = np.copysign(1.0, slope)[:, None] * directions
    proven = np.zeros(flat.size, dtype=bool)
    if gradient <= GRADIENT_TOLERANCE:
        proven = _run_away(problem, theta, sums.loglik, uphill, slope, eigenvalues, flat)
    runaway = proven | flat & _of_one_part(directions, directions[proven], problem.passes.terms.n_gate)
    flat &= ~runaway
    # on the way to infinity curvature vanishes; where it is as small as along the rays, its sign is no news
    vanishing = size <= 10.0 * size[proven].max(initial=0.0)
    order = np.argsort(proven[runaway], kind="stable")  # those with a gain still to come go last
    # beyond a floor that stands for a limit the likelihood goes on like a power of tau, by one at least
    down, steep = -np.eye(theta.size)[at_limit], np.abs(slopes[at_limit]) / problem.total_weight
    curved = np.abs(np.diag(hessian)[at_limit]) / problem.total_weight
    return _Surroundings(
        gradient=gradient,
        eigenvalues=eigenvalues,
        leads_up=bool((eigenvalues[~flat & ~runaway & ~vanishing] < 0).any()),
        flat=readable(directions[flat]),
        runaway=np.vstack([uphill[runaway][order], down]),
        slope=np.append(np.abs(slope[runaway])[order], steep),
        bend=np.append(size[runaway][order], np.maximum(curved, steep)),
    )


def _as_directions(problem: Problem, theta: FloatArray, steps: FloatArray) -> FloatArray:
    """Directions of the chart as directions of the parameters, of length one."""
    if not problem.chart.bent:
        return steps
    directions = problem.chart.directions(theta, steps)
    unit: FloatArray = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return unit


def _run_away(
    problem: Problem,
    theta: FloatArray,
    loglik: float,
    uphill: FloatArray,
    slope: FloatArray,
    eigenvalues: FloatArray,
    flat: BoolArray,
) -> BoolArray:
    """Which of the uphill directions (m, P) lead to infinity, at a point whose gradient counts as zero."""
    # at a maximum nothing is left to go; on the way to infinity a Newton step stays long however small the gradient
    out = flat | (np.abs(slope) > 0.1 * RUNAWAY_STEP * np.abs(eigenvalues))
    out[out] = gains(problem, theta, RUNAWAY_STEP * uphill[out])
    if _is_saturated(problem, loglik):  # classes predicted with certainty: flat, but on the way to infinity
        out |= flat | (eigenvalues <= 0)
    of_gate = (uphill[:, : problem.passes.terms.n_gate] ** 2).sum(axis=1) > 0.5
    if (flat & of_gate).any() and is_step(problem, theta):  # so is a gate whose derivatives are lost in its digits
        out |= flat & of_gate
    return out


def _of_one_part(directions: FloatArray, runaway: FloatArray, n_gate: int) -> BoolArray:
    """Directions of the gate when a gate runs away, of the experts when they do.

    Once a gate has become a step, where exactly it steps between two rows no longer matters: a direction that is
    flat because of the way to infinity belongs to it.
    """
    gate_share = (directions[:, :n_gate] ** 2).sum(axis=1)
    runaway_share = (runaway[:, :n_gate] ** 2).sum(axis=1)
    mostly_gate, mostly_expert = gate_share > 0.5, gate_share < 0.5
    out: BoolArray = (mostly_gate & (runaway_share > 0.5).any()) | (mostly_expert & (runaway_share < 0.5).any())
    return out


def _left_to_gain(around: _Surroundings) -> float:
    """Log-likelihood per row still to come along the rays: slope^2 / curvature each, where tails are exponential."""
    known = around.bend > NO_INFORMATION
    return float(np.minimum(around.slope[known] ** 2 / around.bend[known], 1.0).sum())


def _bounded(problem: Problem, loglik: float) -> float:
    """A probability is at most one, also after rounding."""
    return min(loglik, 0.0) if _has_probabilities(problem) else loglik


def _is_saturated(problem: Problem, loglik: float) -> bool:
    """Whether the log-likelihood of classes or counts is at its upper bound, zero: complete separation."""
    return _has_probabilities(problem) and loglik > -SATURATED * problem.total_weight


def _has_probabilities(problem: Problem) -> bool:
    """Whether every row has a probability, not a density."""
    expert = problem.passes.terms.expert
    return expert.categorical or expert.discrete


def _status(
    around: _Surroundings, blocked: BoolArray, on_floor: BoolArray, spikes: list[int], ties: list[Tie]
) -> Status:
    if not around.gradient <= GRADIENT_TOLERANCE:
        return Status.NOT_CONVERGED
    if around.leads_up:
        return Status.SADDLE
    if on_floor.any():
        return Status.AT_FLOOR
    if spikes:
        return Status.SPIKE
    if len(around.runaway):
        return Status.RUNAWAY
    if len(around.flat):
        return Status.FLAT_MAXIMUM
    if ties:
        return Status.AT_TIES
    return Status.AT_BOUND if blocked.any() else Status.STRICT_MAXIMUM


def _limit(problem: Problem, around: _Surroundings, at_limit: BoolArray, masses: FloatArray) -> str:
    """What the gate becomes where it runs away, if it knows; one that empties an expert is separated by that."""
    if at_limit.any():
        return problem.chart.limit
    terms = problem.passes.terms
    of_gate = (around.runaway[:, : terms.n_gate] ** 2).sum(axis=1) > 0.5
    filled = masses >= SMALL_MASS * problem.weight_of_a_row
    return terms.gate.far if of_gate.all() and filled.all() else ""


def _named(names: list[str], chosen: BoolArray) -> tuple[str, ...]:
    return tuple(name for name, one in zip(names, chosen, strict=True) if one)
