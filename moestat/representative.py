"""The representative among parameters with equal densities: experts by decreasing mass, the gate in canonical form."""

from __future__ import annotations

import numpy as np

from moestat.directions import readable
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray


def canonical(problem: Problem, theta: FloatArray) -> FloatArray:
    """Experts by decreasing mass, and the gate's representative among equal densities.

    Left alone where that would move a held parameter, or where experts cannot be relabelled; inside bounds, as
    near to it as they let it come.
    """
    terms = problem.passes.terms
    ordered = theta
    if terms.gate.exchangeable and terms.expert.exchangeable:
        mass = problem.passes.shares(theta).mass
        relabelled = problem.layout.permute(theta, np.argsort(-mass, kind="stable"))
        ordered = relabelled if problem.admits(relabelled) else theta
    gate = terms.gate.canonical(terms.gate_layout, ordered[: terms.n_gate])
    moved = np.concatenate([gate, ordered[terms.n_gate :]])
    return moved if problem.admits(moved) else _as_far_as_bounds_allow(problem, ordered, moved)


def _as_far_as_bounds_allow(problem: Problem, theta: FloatArray, target: FloatArray) -> FloatArray:
    """Towards the target along each declared invariance in turn, up to the first bound."""
    directions = readable(problem.invariances(theta, problem.free))
    shares = np.linalg.lstsq(directions.T, target - theta, rcond=None)[0] if len(directions) else np.zeros(0)
    if not np.allclose(shares @ directions, target - theta, atol=1e-9):
        return theta  # a curved invariance cannot be followed along its tangents
    for direction in shares[:, None] * directions:
        moving = direction != 0
        room = np.where(direction > 0, problem.upper - theta, problem.lower - theta)[moving] / direction[moving]
        theta = problem.admit(theta + min(1.0, max(0.0, float(room.min(initial=np.inf)))) * direction)
    return theta
