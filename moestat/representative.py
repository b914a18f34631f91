"""The representative among parameters with equal densities.

Experts come by decreasing mass, the gate in canonical form, and related covariates with coefficients of least norm.
"""

from __future__ import annotations

import numpy as np

from moestat.directions import readable, supported_directions
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray, IntArray

#: Size, relative to the parameters, of what is rounding on the way to a representative.
ROUNDING = 1e-13


def canonical(problem: Problem, theta: FloatArray) -> FloatArray:
    """Experts by decreasing mass, the gate's representative among equal densities, coefficients of least norm.

    Left alone where that would move a held parameter, or where experts cannot be relabelled; inside bounds, as
    near to it as they let it come.
    """
    terms = problem.passes.terms
    theta = _least_norm(problem, theta)
    relabelled = terms.by_mass(theta, problem.passes.shares(theta).mass)
    ordered = relabelled if problem.admits(relabelled) else theta
    moved = terms.canonical(ordered)
    if problem.admits(moved):
        return moved
    straight = _straight(problem, ordered, moved)
    end = _towards(problem, ordered, _as_far(ordered, moved, straight, terms.pinned), straight)
    return _settled(end, moved, terms.pinned)


def _straight(problem: Problem, theta: FloatArray, target: FloatArray) -> FloatArray:
    """Invariances among the free parameters that do not turn on the way: a temperature's ray does."""
    here, there = (problem.passes.terms.invariances(at) for at in (theta, target))
    common = min(len(here), len(there))  # at a singular point there may be more
    straight = (here[:common] == there[:common]).all(axis=1)
    return supported_directions(here[:common][straight], problem.free)


def _as_far(theta: FloatArray, target: FloatArray, directions: FloatArray, at: IntArray) -> FloatArray:
    """The point that these directions lead to and that is nearest to the target in the entries ``at``."""
    shares = np.linalg.lstsq(directions[:, at].T, (target - theta)[at], rcond=None)[0]
    return theta + shares @ directions


def _settled(theta: FloatArray, target: FloatArray, at: IntArray) -> FloatArray:
    """The point with those of its entries ``at`` that reach the target up to rounding on it: zero, not 2e-16."""
    out = theta.copy()
    near = np.abs(theta - target)[at] <= ROUNDING * max(1.0, float(np.abs(theta).max(initial=0.0)))
    out[at[near]] = target[at[near]]
    return out


def _least_norm(problem: Problem, theta: FloatArray) -> FloatArray:
    """Without what lies along directions that linearly related covariates leave open, as far as bounds allow."""
    null = supported_directions(problem.null, problem.free)
    if not len(null):
        return theta
    moved = theta - null.T @ (null @ theta)
    moved[np.abs(moved) < 1e-15 * np.abs(theta).max(initial=0.0)] = 0.0  # what is left of a projection to zero
    return moved if problem.admits(moved) else _towards(problem, theta, moved, null)


def _towards(problem: Problem, theta: FloatArray, target: FloatArray, directions: FloatArray) -> FloatArray:
    """From theta to a target along each of these directions in turn, up to the first bound."""
    rows = readable(directions)
    shares = np.linalg.lstsq(rows.T, target - theta, rcond=None)[0] if len(rows) else np.zeros(0)
    if not np.allclose(shares @ rows, target - theta, atol=1e-9):
        return theta  # a curved invariance cannot be followed along its tangents
    for direction in shares[:, None] * rows:
        moving = direction != 0
        room = np.where(direction > 0, problem.upper - theta, problem.lower - theta)[moving] / direction[moving]
        theta = problem.admit(theta + min(1.0, max(0.0, float(room.min(initial=np.inf)))) * direction)
    return theta
