"""What kind of point an ascent ended at, compiled: the rules of `moestat.certificate` for linear predictors."""

from __future__ import annotations

from math import sqrt

import numpy as np

from moestat.kernels.address import NUMBER, ROW, WHOLE, call_of
from moestat.kernels.ascent import all_finite, scaled_information
from moestat.kernels.box import BOX, Box, steepness
from moestat.kernels.compile import jit, jit_exact
from moestat.kernels.newton_steps import CERTIFIED_GRADIENT, QUADRATIC, ROUNDOFF, Quadratic, beyond_all, hessian_at
from moestat.kernels.parts import END, PARTS, Code, End
from moestat.kernels.predictor_sums import (
    FEW,
    LOGLIK,
    SCRATCH,
    SUMS,
    Predictors,
    Rows,
    Scratch,
    Sums,
    call_behind,
    call_pass,
)
from moestat.typing import FloatArray, IntArray

#: Kinds of end points; `OPEN` is for others to say.
OPEN, STRICT_MAXIMUM, AT_BOUND, AT_FLOOR, SPIKE, FLAT_MAXIMUM, RUNAWAY, SADDLE = range(8)

#: Eigenvalues of the information below this share of the largest, or below round-off, count as flat.
FLAT = 1e-10
NO_INFORMATION = 1e-15

#: The Hessian may be that of a point nearby, where its smallest eigenvalue is so large a share of the largest that the
#: way from there is nothing to it.
NEAR_IS_ENOUGH = 1e-3

#: Length of the step uphill that must gain nothing where the gradient is zero; directions are suspect where a Newton
#: step is longer than a tenth of it.
RUNAWAY_STEP = 0.1

#: The share of the largest variance that is small on twice as many rows as parameters, and on `FEW` times as many.
SMALL_ON_AS_MANY = 1e-1
SMALL_ON_FEW = 1e-2


@jit_exact
def is_spike(box: Box, theta: FloatArray, mass: FloatArray, count: IntArray, weight_of_a_row: float) -> bool:
    """Whether an expert that may sink onto few rows has done so."""
    K = mass.size
    smallest = np.full(K, np.inf)
    largest = -np.inf
    for k in range(K):
        for i in box.sinks[k]:
            if i >= 0 and box.floors[i] > -np.inf:  # under a bound of the user's it cannot sink
                smallest[k] = min(smallest[k], theta[i])
        if np.isfinite(smallest[k]):
            largest = max(largest, smallest[k])
    for k in range(K):
        if count[k] == 0 or K == 1 or not np.isfinite(smallest[k]):
            continue
        share = np.exp(min(smallest[k] - largest, 0.0))
        light = mass[k] <= (FEW * box.n_local + 1) * weight_of_a_row
        per_parameter = count[k] / box.n_local
        small = SMALL_ON_AS_MANY if per_parameter <= 2.0 else (SMALL_ON_FEW if per_parameter <= FEW else 0.0)
        if (count[k] <= box.n_local and light) or share < small:
            return True
    return False


@jit_exact
def _own_directions(q: Quadratic, box: Box, total: float, eigenvalues: FloatArray, directions: FloatArray) -> int:
    """Eigenvalues (P,) and rows of eigenvectors (P, P), in fine units, of what moves and is not set aside; how many."""
    P = q.unit.size
    outside = q.counts[0]
    for i in range(P):
        outside += 0 if q.movable[i] else 1
    scaled_information(q.hessian, total, q.unit, q.movable, q.aside[: q.counts[0]], beyond_all(q, total), q.information)
    values, vectors = np.linalg.eigh(q.information)  # what is lifted comes last
    eigenvalues[:] = values
    directions[:] = vectors.T
    return int(P - outside)


@jit
def _leads_away(
    code: Code,
    model: Predictors,
    rows: Rows,
    total: float,
    box: Box,
    theta: FloatArray,
    loglik: float,
    score: FloatArray,
    q: Quadratic,
    s: Scratch,
    sums: Sums,
    eigenvalues: FloatArray,
    directions: FloatArray,
) -> int:
    """`RUNAWAY`, `FLAT_MAXIMUM`, `SADDLE` or a strict maximum, of a point with suspect directions; or `OPEN`.

    A direction is suspect where it is flat, or where a Newton step along it is long; it leads away where a step uphill
    gains something although the gradient is zero.
    """
    m, P = eigenvalues.size, theta.size
    flat, proven, of_gate = np.zeros(m, np.bool_), np.zeros(m, np.bool_), np.zeros(m, np.bool_)
    largest = 0.0
    for a in range(m):
        largest = max(largest, abs(eigenvalues[a]))
    new = np.empty(P)
    for a in range(m):
        slope = gate = size = 0.0
        for i in range(P):
            slope += directions[a, i] * q.unit[i] * score[i] / total if q.movable[i] else 0.0
            step = directions[a, i] * q.unit[i]
            size += step * step
            gate += step * step if i < box.n_gate else 0.0
        of_gate[a] = gate > 0.5 * size
        flat[a] = abs(eigenvalues[a]) < max(FLAT * largest, NO_INFORMATION)
        if flat[a] or abs(slope) > 0.1 * RUNAWAY_STEP * abs(eigenvalues[a]):
            reach = np.copysign(RUNAWAY_STEP / sqrt(size), slope)
            for i in range(P):
                new[i] = theta[i] + reach * directions[a, i] * q.unit[i]
            gained = call_pass(code.add_up, (model, rows, new, LOGLIK, s, sums)) - loglik
            proven[a] = gained > ROUNDOFF * max(total, abs(loglik))
    of_both = np.zeros(2, np.bool_)
    vanishing = 0.0
    for a in range(m):
        if proven[a]:
            of_both[1 if of_gate[a] else 0] = True
            vanishing = max(vanishing, 10.0 * abs(eigenvalues[a]))
    runs = ridge = False
    for a in range(m):
        follows = flat[a] and of_both[1 if of_gate[a] else 0]
        if flat[a] and of_gate[a] and not proven[a] and not follows:
            return OPEN  # a gate that is a step but for the digits that its derivatives are lost in
        away = proven[a] or follows
        if not away and not flat[a] and abs(eigenvalues[a]) > vanishing and eigenvalues[a] < 0.0:
            return SADDLE
        runs = runs or away
        ridge = ridge or (flat[a] and not away)
    if runs:
        return RUNAWAY
    return FLAT_MAXIMUM if ridge else STRICT_MAXIMUM


@jit
def judge(
    code: Code,
    model: Predictors,
    rows: Rows,
    total: float,
    weight_of_a_row: float,
    box: Box,
    theta: FloatArray,
    loglik: float,
    score: FloatArray,
    mass: FloatArray,
    q: Quadratic,
    s: Scratch,
    sums: Sums,
    steps: int,
    passes: int,
) -> End:
    """What kind of point an ascent ended at, from the Hessian there over all rows."""
    P = theta.size
    fine = steepness(box, theta, score, total, q.unit)
    plain = steepness(box, theta, score, total, np.ones(P))
    if not np.isfinite(loglik) or not all_finite(q.hessian):
        return End(loglik, np.inf, np.inf, np.nan, np.nan, OPEN, steps, passes)
    values, directions = np.empty(P), np.empty((P, P))
    own = _own_directions(q, box, total, values, directions)
    if q.counts[2] == 1 and own > 0 and not values[0] > NEAR_IS_ENOUGH * values[own - 1]:
        hessian_at(code, model, rows, total, box, theta, s, sums, score, q)
        fine = steepness(box, theta, score, total, q.unit)
        own = _own_directions(q, box, total, values, directions)
        passes += 1
    smallest = values[0] if own > 0 else np.inf
    largest = values[own - 1] if own > 0 else np.inf
    slope = 0.0
    blocked = on_floor = False
    for i in range(P):
        if q.movable[i]:
            slope += (q.unit[i] * score[i] / total) ** 2
        elif box.free[i]:
            blocked = True
            on_floor = on_floor or theta[i] <= box.floors[i]
    if not fine <= CERTIFIED_GRADIENT:
        return End(loglik, plain, fine, smallest, largest, OPEN, steps, passes)
    clear = smallest > max(FLAT * largest, NO_INFORMATION) and sqrt(slope) <= 0.1 * RUNAWAY_STEP * smallest
    kind = STRICT_MAXIMUM
    if not clear:
        kind = _leads_away(
            code, model, rows, total, box, theta, loglik, score, q, s, sums, values[:own], directions[:own]
        )
    if kind != OPEN and kind != SADDLE:
        count = np.zeros(mass.size, np.int64)
        few = call_behind(code.behind, (model, rows, theta, box.n_local, mass, s, count))
        if on_floor:
            kind = AT_FLOOR
        elif few and is_spike(box, theta, mass, count, weight_of_a_row):
            kind = SPIKE
        elif kind == STRICT_MAXIMUM and blocked:
            kind = AT_BOUND
    return End(loglik, plain, fine, smallest, largest, kind, steps, passes)


VERDICT = END(*PARTS, NUMBER, NUMBER, BOX, ROW, NUMBER, ROW, ROW, QUADRATIC, SCRATCH, SUMS, WHOLE, WHOLE)
call_judge = call_of(VERDICT)
