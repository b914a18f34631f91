"""An expert that has lost its rows gets new ones: a neighbourhood of rows that the model describes badly."""

from __future__ import annotations

import numpy as np

from moestat.data import Block
from moestat.solvers.problem import Problem
from moestat.starts.points import start_from
from moestat.typing import BoolArray, FloatArray, IntArray

#: An expert with fewer rows than this has lost them.
LOST_MASS = 1.0

#: Share of the rows, those of lowest density, among which a new place is drawn.
BADLY_DESCRIBED = 0.1


def lost_experts(problem: Problem, theta: FloatArray) -> IntArray:
    """Experts (from 0) with almost no mass."""
    mass = problem.passes.shares(theta).mass
    return np.flatnonzero(mass < LOST_MASS * problem.weight_of_a_row)


def reseed(problem: Problem, rows: Block, theta: FloatArray, lost: IntArray, rng: np.random.Generator) -> FloatArray:
    """Parameters where every lost expert starts anew.

    It takes a neighbourhood of a badly described row, and splits the gate's weight there with the expert that
    has had it.

    Parameters
    ----------
    problem : Problem
    rows : Block
        Sketch of the data.
    theta : ndarray (P,)
    lost : ndarray of int
        Experts to reseed.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (P,)
    """
    terms = problem.passes.terms
    tile = next(terms.tiles(theta, [rows]))
    resp, density = tile.R.copy(), tile.row.copy()
    moved, gate = theta.copy(), theta[: terms.n_gate]
    seen = terms.expert.for_starts(rows)
    for k in lost:
        near = _neighbourhood(seen, density, terms.n_experts, rng)
        parent = int(resp[:, near].sum(axis=1).argmax())
        resp[:, near] *= 0.1
        resp[k, near] += 0.9 * rows.weight[near]
        density[near] = np.inf  # the next lost expert goes elsewhere
        gate = terms.gate.adopt(terms.gate_layout, gate, int(k), parent)
    fresh = start_from(problem, rows, resp)
    if terms.gate.closed_form:  # it has the place from the rows
        moved[: terms.n_gate] = fresh[: terms.n_gate]
    own = terms.expert_columns[lost].ravel()
    moved[own] = fresh[own]
    moved[: terms.n_gate] = gate
    return problem.admit(moved)


def _neighbourhood(rows: Block, density: FloatArray, n_experts: int, rng: np.random.Generator) -> BoolArray:
    """Rows nearest to one of those of lowest density: a quarter of an expert's fair share of the weight."""
    finite = np.flatnonzero(np.isfinite(density))
    bad = finite[np.argsort(density[finite], kind="stable")][: max(1, int(BADLY_DESCRIBED * finite.size))]
    centre = rng.choice(bad) if bad.size else rng.integers(density.size)
    points = np.vstack([rows.X[1:], rows.Y])
    order = np.argsort(((points - points[:, [centre]]) ** 2).sum(axis=0), kind="stable")
    least, fair = rows.X.shape[0] + 2, rows.weight.sum() / (4 * n_experts)
    size = max(least, int(np.searchsorted(np.cumsum(rows.weight[order]), fair)) + 1)
    near = np.zeros(density.size, dtype=bool)
    near[order[:size]] = True
    return near
