"""The representative among parameters with equal densities.

Experts come by decreasing mass, the gate in canonical form, and related covariates with coefficients of least norm.
"""

from __future__ import annotations

import numpy as np

from moestat.directions import readable, supported_directions
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray


def canonical(problem: Problem, theta: FloatArray) -> FloatArray:
    """Experts by decreasing mass, the gate's representative among equal densities, coefficients of least norm.

    Left alone where that would move a held parameter, or where experts cannot be relabelled; inside bounds, as
    near to it as they let it come.
    """
    terms = problem.passes.terms
    theta = _least_norm(problem, theta)
    ordered = theta
    if terms.gate.exchangeable and terms.expert.exchangeable:
        mass = problem.passes.shares(theta).mass
        relabelled = problem.layout.permute(theta, np.argsort(-mass, kind="stable"))
        ordered = relabelled if problem.admits(relabelled) else theta
    gate = terms.canonical_gate(ordered)
    moved = np.concatenate([gate, ordered[terms.n_gate :]])
    if problem.admits(moved):
        return moved
    return _towards(problem, ordered, moved, problem.invariances(ordered, problem.free))


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
