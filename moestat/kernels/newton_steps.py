"""Newton's method in a trust region, compiled: the steps of `moestat.solvers.newton` for small problems."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from numba.types import Tuple

from moestat.kernels.address import FLAG, FLAGS, INDEX, NUMBER, ROW, ROWS, WHOLE, call_of, record
from moestat.kernels.ascent import (
    all_finite,
    best_step,
    directions_aside,
    factor,
    fine_units,
    length,
    scaled_information,
    solve_factored,
)
from moestat.kernels.box import BOX, Box, admit, find_movable, steepness
from moestat.kernels.compile import jit, jit_exact
from moestat.kernels.parts import PARTS, Code
from moestat.kernels.predictor_sums import (
    HESSIAN,
    SCORE,
    SCRATCH,
    SUMS,
    Predictors,
    Rows,
    Scratch,
    Sums,
    call_pass,
    gather_hessian,
    gather_score,
)
from moestat.typing import BoolArray, FloatArray, IntArray

#: A gradient of zero, one that counts as zero, and what is rounding: as in the default solver.
GRADIENT = 1e-11
CERTIFIED_GRADIENT = 1e-8
ROUNDOFF = 4e-15
MAX_RADIUS = 1e4

#: While a step makes the gradient so much smaller, the Hessian that it came from, brought up to date by what the step
#: has shown of it, is good for another.
STILL_GOOD = 0.2

#: From a gradient as small as this, one step with a fresh Hessian ends the ascent; where that step is as short as this,
#: its Hessian is the end point's.
POLISH = 1e-6
NO_WAY = 1e-5

#: What a step shows of the Hessian counts where it is no rounding.
SHOWN = 1e-8


class Quadratic(NamedTuple):
    """The quadratic model of the log-likelihood per row.

    Hessian (P, P), units, what moves, what is set aside, the information in these units (P, P) and its factor, and
    numbers: how many are aside, whether there is a factor, whether the Hessian is that of a point nearby.
    """

    hessian: FloatArray
    unit: FloatArray
    movable: BoolArray
    aside: FloatArray
    information: FloatArray
    L: FloatArray
    counts: IntArray


@jit_exact
def quadratic_for(P: int, r: int) -> Quadratic:
    """Room for a model of P parameters with r shifts."""
    return Quadratic(
        np.empty((P, P)),
        np.ones(P),
        np.empty(P, np.bool_),
        np.empty((r, P)),
        np.empty((P, P)),
        np.empty((P, P)),
        np.zeros(3, np.int64),
    )


@jit_exact
def _set_up(q: Quadratic, box: Box, total: float) -> None:
    """Factor the information among what moves."""
    q.counts[0] = directions_aside(box.shifts, q.movable, q.unit, q.aside)
    scaled_information(q.hessian, total, q.unit, q.movable, q.aside[: q.counts[0]], -1.0, q.information)
    q.counts[1] = 1 if factor(q.information, q.L) else 0


@jit_exact
def _propose(
    q: Quadratic, box: Box, theta: FloatArray, score: FloatArray, total: float, radius: float, step: FloatArray
) -> bool:
    """step (P,) = the best one inside box and trust region; whether it is Newton's own, cut by neither."""
    P = theta.size
    fixed, slope, inner = np.zeros(P), np.empty(P), np.empty(P)
    whole = True
    kept = q.movable.copy()
    while True:
        for i in range(P):
            s = score[i] / total
            for j in range(P):
                s += q.hessian[i, j] / total * fixed[j] if fixed[j] != 0.0 else 0.0
            slope[i] = s * q.unit[i] if q.movable[i] else 0.0
        newton = False
        if q.counts[1] == 1:
            solve_factored(q.L, slope, inner)
            newton = length(inner) <= radius
        if not newton:
            whole = False
            scaled_information(
                q.hessian, total, q.unit, q.movable, q.aside[: q.counts[0]], beyond_all(q, total), q.information
            )
            best_step(q.information, slope, q.movable, q.aside[: q.counts[0]], radius, inner)
        hit = False
        for i in range(P):
            step[i] = fixed[i] + (q.unit[i] * inner[i] if q.movable[i] else 0.0)
            if q.movable[i]:
                target = theta[i] + step[i]
                inside = min(max(target, box.lower[i]), box.upper[i])
                if inside != target:
                    hit = True
                    fixed[i] = inside - theta[i]
                    q.movable[i] = False
        if not hit:
            if fixed.any():
                q.movable[:] = kept
                _set_up(q, box, total)
                return False
            return whole
        _set_up(q, box, total)


@jit_exact
def beyond_all(q: Quadratic, total: float) -> float:
    """A curvature larger than all others: the information's largest row sum, twice."""
    largest = 0.0
    for i in range(q.unit.size):
        s = 0.0
        for j in range(q.unit.size):
            s += abs(q.hessian[i, j]) / total * q.unit[i] * q.unit[j]
        largest = max(largest, s)
    return 2.0 * largest + 1.0


@jit_exact
def _promise(q: Quadratic, score: FloatArray, total: float, step: FloatArray) -> float:
    """What the model promises for a step, per row."""
    s = 0.0
    for i in range(step.size):
        t = 0.0
        for j in range(step.size):
            t += q.hessian[i, j] * step[j]
        s += step[i] * (score[i] + 0.5 * t)
    return s / total


@jit_exact
def eigenvalues_of(q: Quadratic, box: Box, total: float) -> FloatArray:
    """Of the information in fine units, among what moves and is not set aside, ascending."""
    outside = q.counts[0]
    for i in range(q.unit.size):
        outside += 0 if q.movable[i] else 1
    scaled_information(q.hessian, total, q.unit, q.movable, q.aside[: q.counts[0]], beyond_all(q, total), q.information)
    if not all_finite(q.information):
        return np.full(q.unit.size - outside, np.nan)
    eigenvalues: FloatArray = np.linalg.eigvalsh(q.information)[: q.unit.size - outside]  # type: ignore[assignment]
    return eigenvalues


@jit_exact
def _in_units(step: FloatArray, unit: FloatArray) -> float:
    """The length of a step in units of the parameters.

    With reassociation its rounding would depend on where the arrays lie: a vector loop runs where they are far enough
    from each other, and a plain one where they are neighbours.
    """
    s = 0.0
    for i in range(step.size):
        s += (step[i] / unit[i]) ** 2
    return sqrt(s)


@jit
def newton_steps(
    code: Code,
    model: Predictors,
    rows: Rows,
    total: float,
    box: Box,
    theta: FloatArray,
    s: Scratch,
    sums: Sums,
    score: FloatArray,
    q: Quadratic,
    known: bool,
    most: int,
) -> tuple[float, bool, int, int]:
    """Newton's method in a trust region, in place; log-likelihood, whether it converged, steps and passes.

    A Hessian costs several gradients. So it is kept, and updated by the change of the gradient (symmetric rank one),
    for as long as its steps are whole and shorten the gradient fast; ``known`` says that there is one to begin with.
    At the end it is that of the end point, or of a point that is as good as the same. Convergence means a gradient of
    zero, as far as double precision goes.
    """
    P = theta.size
    step, new, there = np.empty(P), np.empty(P), np.empty(P)
    radius, idle, passes = 1.0, 0, 0
    loglik = 0.0
    steep = np.inf
    count = 0
    kept = known
    if known:
        loglik = call_pass(code.add_up, (model, rows, theta, SCORE, s, sums))
        passes += 1
        gather_score(model, sums, score)
        fine_units(q.hessian, total, q.unit)
        find_movable(box, theta, score, q.movable)
        _set_up(q, box, total)
        steep = steepness(box, theta, score, total, q.unit)
        kept = steep > GRADIENT
    while count < most:
        if not kept:
            loglik = hessian_at(code, model, rows, total, box, theta, s, sums, score, q)
            passes += 1
            steep = steepness(box, theta, score, total, q.unit)
            if steep <= GRADIENT and (q.counts[1] == 1 or not _leads_up(q, box, total)):
                return loglik, True, count, passes
        count += 1
        moved = False
        roundoff = ROUNDOFF * max(1.0, abs(loglik) / total)
        promised = 0.0
        for _ in range(60):
            whole = _propose(q, box, theta, score, total, radius, step)
            size = _in_units(step, q.unit)
            for i in range(P):
                new[i] = theta[i] + step[i]
            admit(box, new, new)
            predicted = _promise(q, score, total, step)
            promised = max(promised, predicted)
            level = call_pass(code.add_up, (model, rows, new, SCORE, s, sums))
            passes += 1
            gather_score(model, sums, there)
            after = steepness(box, new, there, total, q.unit)
            gained = (level - loglik) / total
            if abs(gained) <= roundoff and abs(predicted) <= roundoff:
                ratio = 1.0 if after < steep else -1.0
            elif predicted > 0.0 and np.isfinite(gained):
                ratio = gained / predicted
            else:
                ratio = -1.0
            if kept and not ratio > 1e-4:
                kept = False  # not the radius is to blame, but a Hessian of elsewhere
                moved = True
                break
            if ratio > 0.75 and size > 0.9 * radius:
                radius = min(2.5 * radius, MAX_RADIUS)
            elif not ratio > 0.25:
                radius = 0.25 * min(size, radius)
            if ratio > 1e-4:
                idle = idle + 1 if gained <= 1e-9 else 0
                at_end = not kept and whole and size <= NO_WAY and after <= GRADIENT
                kept = whole and after <= STILL_GOOD * steep and after > POLISH
                if kept:
                    _learn(q, step, score, there)
                    _set_up(q, box, total)
                theta[:] = new
                score[:] = there
                loglik = level
                steep = after
                moved = True
                if at_end:
                    q.counts[2] = 1
                    return loglik, True, count, passes
                break
            if radius < 1e-13 or abs(predicted) <= 1e-2 * roundoff:
                break
        if not moved:
            # nothing is left to gain, or what was promised did not come
            nothing = promised <= roundoff or steep <= CERTIFIED_GRADIENT
            loglik = hessian_at(code, model, rows, total, box, theta, s, sums, score, q)
            return loglik, nothing, count, passes + 1
        if idle >= 20:
            break
    return loglik, False, count, passes


@jit
def hessian_at(
    code: Code,
    model: Predictors,
    rows: Rows,
    total: float,
    box: Box,
    theta: FloatArray,
    s: Scratch,
    sums: Sums,
    score: FloatArray,
    q: Quadratic,
) -> float:
    """Score and quadratic model afresh; returns the log-likelihood."""
    loglik: float = call_pass(code.add_up, (model, rows, theta, HESSIAN, s, sums))
    q.counts[2] = 0
    gather_score(model, sums, score)
    gather_hessian(model, sums, q.hessian)
    fine_units(q.hessian, total, q.unit)
    find_movable(box, theta, score, q.movable)
    _set_up(q, box, total)
    return loglik


@jit_exact
def _learn(q: Quadratic, step: FloatArray, before: FloatArray, after: FloatArray) -> None:
    """Let the Hessian explain what a step did to the score, by a symmetric change of rank one."""
    P = step.size
    rest = np.empty(P)
    along = size = reach = 0.0
    for i in range(P):
        s = after[i] - before[i]
        for j in range(P):
            s -= q.hessian[i, j] * step[j]
        rest[i] = s if q.movable[i] else 0.0
        along += rest[i] * step[i]
        size += (rest[i] * q.unit[i]) ** 2
        reach += (step[i] / q.unit[i]) ** 2
    if not abs(along) > SHOWN * sqrt(size * reach):
        return
    for i in range(P):
        for j in range(P):
            q.hessian[i, j] += rest[i] * rest[j] / along


@jit_exact
def _leads_up(q: Quadratic, box: Box, total: float) -> bool:
    """Whether a stationary point has a direction of ascent beyond round-off."""
    eigenvalues = eigenvalues_of(q, box, total)
    _set_up(q, box, total)
    if eigenvalues.size == 0:
        return False
    return bool(eigenvalues[0] < -1e-10 * max(abs(eigenvalues[-1]), 1e-300))


QUADRATIC = record(Quadratic, hessian=ROWS, unit=ROW, movable=FLAGS, aside=ROWS, information=ROWS, L=ROWS, counts=INDEX)
NEWTON_PART = Tuple((NUMBER, FLAG, WHOLE, WHOLE))(*PARTS, NUMBER, BOX, ROW, SCRATCH, SUMS, ROW, QUADRATIC, FLAG, WHOLE)
call_newton = call_of(NEWTON_PART)
