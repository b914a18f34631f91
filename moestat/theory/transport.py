"""A metric between mixing measures: how far mass has to be carried, after the best common translation.

    W(G, H) = inf_t min_q sum_ij q_ij |theta_i - theta'_j - t|,    q with the normalised masses as margins

the Wasserstein distance of order one modulo what changes no weight. It needs no exponents, so it is there for every
gate; it is symmetric, and zero for equal measures alone. Of groups the distance includes that of their own measures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog

from moestat.errors import InputError
from moestat.theory.invariances import translated_columns
from moestat.theory.kinds import are_alike, check_alike
from moestat.theory.measure import MixingMeasure
from moestat.theory.units import in_common_units
from moestat.typing import FloatArray

#: Alternations between plan and translation from one start, and steps towards the best translation of a plan.
ROUNDS, STEPS = 50, 200

Cost = Callable[[FloatArray], FloatArray]


def measure_distance(first: MixingMeasure, second: MixingMeasure, *, coordinates: str = "raw") -> float:
    """Wasserstein distance of order one between two mixing measures, modulo common translations and scales of mass.

    Parameters
    ----------
    first, second : MixingMeasure
        With the same coordinates, any numbers of atoms.
    coordinates : {"raw", "standardised"}
        The user's units, or those of the moments that ``second`` carries. Of two measures neither is the truth here,
        so that moments are asked for only where they are wanted; `voronoi_loss` standardises by those of the truth.

    Returns
    -------
    float
        In the units of the atoms. The infimum over translations is sought from every one that lays an atom on another,
        and from the one that lays one centre of mass on the other.

    Raises
    ------
    InputError
        When the atoms have different coordinates, gates or families.
    """
    if coordinates not in ("raw", "standardised"):
        raise InputError(f"coordinates must be 'raw' or 'standardised'; got {coordinates!r}.")
    pair = in_common_units(first, second, coordinates)
    check_alike(*pair)
    if any(np.isnan(one.atoms).any() for one in pair):
        raise InputError("atoms of different families have no distance; compare models with experts of one family.")
    return _distance(*pair)


def _distance(first: MixingMeasure, second: MixingMeasure) -> float:
    """The distance; infinite between groups of another structure."""
    if not are_alike(first, second):
        return np.inf
    moving = translated_columns(second)
    apart = first.atoms[:, None] - second.atoms[None]
    within = np.array([[_distance(a, b) for b in second.inner] for a in first.inner]) if first.inner else 0.0
    delta = apart[:, :, moving]
    still = (np.delete(apart, moving, axis=2) ** 2).sum(axis=2)

    def cost(t: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(still + ((delta - t) ** 2).sum(axis=2)) + within)

    kinks = delta.reshape(first.size * second.size, moving.size)
    means = first.masses @ first.atoms[:, moving] - second.masses @ second.atoms[:, moving]
    starts = np.unique(np.vstack([kinks, means]), axis=0) if moving.size else kinks[:1]
    return min(_descended(first.masses, second.masses, cost, still, delta, t) for t in starts)


def _descended(a: FloatArray, b: FloatArray, cost: Cost, still: FloatArray, delta: FloatArray, t: FloatArray) -> float:
    """The smallest cost found from one translation: by turns the best plan and the best translation of it."""
    best = np.inf
    for _ in range(ROUNDS):
        here = cost(t)
        plan = _plan(a, b, here)
        if plan is None:
            break
        value = float(plan[plan > 0] @ here[plan > 0])
        gained = value < best * (1 - 1e-12)
        best = min(best, value)
        if not gained or not delta.shape[2]:
            break
        t = _centre(plan, still, delta, t)
    return best


def _plan(a: FloatArray, b: FloatArray, cost: FloatArray) -> FloatArray | None:
    """The cheapest transport plan (K, J), or none where infinite costs leave no way.

    Margins add up to one, so that one constraint follows from the others.
    """
    K, J = cost.shape
    rows = np.kron(np.eye(K), np.ones(J))
    columns = np.kron(np.ones(K), np.eye(J))[:-1]
    barred = np.isinf(cost).ravel()
    found = linprog(
        np.where(barred, 0.0, cost.ravel()),
        A_eq=np.vstack([rows, columns]),
        b_eq=np.concatenate([a, b[:-1]]),
        bounds=[(0.0, 0.0 if no else None) for no in barred],
        method="highs",
    )
    return np.asarray(found.x).reshape(K, J) if found.x is not None else None


def _centre(plan: FloatArray, still: FloatArray, delta: FloatArray, t: FloatArray) -> FloatArray:
    """The translation of least cost for a plan, by weighted means [Weiszfeld 1937]."""
    for _ in range(STEPS):
        length = np.sqrt(still + ((delta - t) ** 2).sum(axis=2))
        weight = plan / np.maximum(length, 1e-14)
        new = np.einsum("ij,iju->u", weight, delta) / weight.sum()
        if np.abs(new - t).max(initial=0.0) <= 1e-14 * (1 + np.abs(t).max(initial=0.0)):
            break
        t = new
    return np.asarray(t)
