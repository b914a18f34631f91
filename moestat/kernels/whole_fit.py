"""A whole fit as one compiled function: generalised EM, Newton's method in a trust region, and the verdict.

It takes the steps that `moestat.solvers` take, without a call of Python in between. What it cannot judge beyond doubt,
a flat ridge or a way to infinity, it leaves open.
"""

from __future__ import annotations

from functools import cache
from math import log, sqrt
from typing import NamedTuple

import numpy as np
from numba.types import Tuple

from moestat.kernels.address import (
    FLAG,
    FLAGS,
    INDEX,
    NUMBER,
    ROW,
    ROWS,
    TABLE,
    WHOLE,
    address_of,
    call_of,
    record,
)
from moestat.kernels.ascent import (
    best_step,
    directions_aside,
    factor,
    fine_units,
    length,
    newton_move,
    scaled_information,
    solve_factored,
)
from moestat.kernels.compile import jit, jit_exact
from moestat.kernels.predictor_sums import (
    BEHIND,
    EM,
    FEW,
    HESSIAN,
    PASS,
    PREDICTORS,
    SCORE,
    SCRATCH,
    SUMS,
    TILED_ROWS,
    Predictors,
    Rows,
    Scratch,
    Sums,
    add_up,
    call_behind,
    call_pass,
    gather_hessian,
    gather_information,
    gather_score,
    product_of,
    rests_on_few,
)
from moestat.typing import BoolArray, FloatArray, IntArray

#: How an ascent ended, or what kind of point it ended at; `OPEN` is for others to say.
STRICT_MAXIMUM, AT_BOUND, AT_FLOOR, SPIKE, OPEN = range(5)

#: When EM makes room for Newton's method, and what ends that: as in the default solver.
EM_STEPS = np.int64(30)
EM_GAIN = 1e-4
NEWTON_STEPS = np.int64(300)
GRADIENT = 1e-11
CERTIFIED_GRADIENT = 1e-8
ROUNDOFF = 4e-15
SLACK = 1e-13
GATE = np.int64(0)  # where the gate's parameters begin
STEP_CAP = 5.0
MAX_RADIUS = 1e4

#: While a step makes the gradient so much smaller, the Hessian that it came from, brought up to date by what the step
#: has shown of it, is good for another.
STILL_GOOD = 0.2

#: What a step shows of the Hessian counts where it is no rounding.
SHOWN = 1e-8

#: Eigenvalues of the information below this share of the largest, or below round-off, count as flat; and where slopes
#: are longer than this share of the smallest, a way to infinity is not ruled out.
FLAT = 1e-10
NO_INFORMATION = 1e-15
NO_WAY_UP = 1e-2

#: The share of the largest variance that is small on twice as many rows as parameters, and on `FEW` times as many.
SMALL_ON_AS_MANY = 1e-1
SMALL_ON_FEW = 1e-2


#: Newton steps of a short way: beyond, a sample may lead elsewhere than all rows do, and is not followed.
SHORT_WAY = np.int64(10)
UNKNOWN = np.bool_(False)


class Code(NamedTuple):
    """Addresses of what is compiled apart: passes over all rows, the rows behind experts, and the parts of a fit."""

    add_up: int
    behind: int
    em_steps: int
    newton_steps: int
    judge: int
    ascend: int


class Box(NamedTuple):
    """What parameters may do: lower, upper, floors, held (P,), free (P,), and which shifts (r, K) change no density.

    n_gate is the number of the gate's parameters, sinks (K, s) are the log variances of an expert's own that may sink,
    or -1, and n_local is how many parameters an expert depends on.
    """

    lower: FloatArray
    upper: FloatArray
    floors: FloatArray
    held: FloatArray
    free: BoolArray
    shifts: IntArray
    n_gate: int
    sinks: IntArray
    n_local: int


class End(NamedTuple):
    """Where an ascent ended: log-likelihood, plain and fine gradient per row, smallest and largest eigenvalue of the
    information per row, kind of point, steps and passes."""

    loglik: float
    gradient: float
    fine_gradient: float
    smallest: float
    largest: float
    kind: int
    steps: int
    passes: int


class Quadratic(NamedTuple):
    """The quadratic model of the log-likelihood per row: Hessian (P, P), units, what moves, what is set aside, the
    information in these units (P, P) and its factor, and numbers: how many are aside, whether it has a factor."""

    hessian: FloatArray
    unit: FloatArray
    movable: BoolArray
    aside: FloatArray
    information: FloatArray
    L: FloatArray
    counts: IntArray


CODE = record(Code, **dict.fromkeys(Code._fields, WHOLE))
BOX = record(
    Box,
    lower=ROW,
    upper=ROW,
    floors=ROW,
    held=ROW,
    free=FLAGS,
    shifts=TABLE,
    n_gate=WHOLE,
    sinks=TABLE,
    n_local=WHOLE,
)
END = record(
    End,
    loglik=NUMBER,
    gradient=NUMBER,
    fine_gradient=NUMBER,
    smallest=NUMBER,
    largest=NUMBER,
    kind=WHOLE,
    steps=WHOLE,
    passes=WHOLE,
)
QUADRATIC = record(Quadratic, hessian=ROWS, unit=ROW, movable=FLAGS, aside=ROWS, information=ROWS, L=ROWS, counts=INDEX)
PARTS = (CODE, PREDICTORS, TILED_ROWS)
EM_PART = Tuple((NUMBER, WHOLE, WHOLE))(*PARTS, NUMBER, BOX, ROW, WHOLE, SCRATCH, SUMS, ROW)
NEWTON_PART = Tuple((NUMBER, FLAG, WHOLE, WHOLE))(*PARTS, NUMBER, BOX, ROW, SCRATCH, SUMS, ROW, QUADRATIC, FLAG, WHOLE)
VERDICT = END(*PARTS, NUMBER, NUMBER, BOX, ROW, NUMBER, ROW, ROW, QUADRATIC, SCRATCH, WHOLE, WHOLE)
ASCENT = END(*PARTS, TILED_ROWS, NUMBER, NUMBER, BOX, ROW, ROW, SCRATCH, SUMS)
call_em, call_newton, call_judge, call_ascend = (call_of(part) for part in (EM_PART, NEWTON_PART, VERDICT, ASCENT))


# --------------------------------------------------------------------------------------- the box
@jit_exact
def admit(box: Box, theta: FloatArray, out: FloatArray) -> None:
    """out = the nearest admissible point."""
    for i in range(out.size):
        out[i] = min(max(theta[i], box.lower[i]), box.upper[i]) if box.free[i] else box.held[i]


@jit_exact
def find_movable(box: Box, theta: FloatArray, score: FloatArray, out: BoolArray) -> None:
    """out = what an ascent may move: free, and not pushed against its bound."""
    for i in range(out.size):
        blocked = (theta[i] <= box.lower[i] and score[i] < 0.0) or (theta[i] >= box.upper[i] and score[i] > 0.0)
        out[i] = box.free[i] and not blocked


@jit_exact
def steepness(box: Box, theta: FloatArray, score: FloatArray, rows: float, unit: FloatArray) -> float:
    """Infinity norm of the projected score per row in these units."""
    largest = 0.0
    for i in range(theta.size):
        blocked = (theta[i] <= box.lower[i] and score[i] < 0.0) or (theta[i] >= box.upper[i] and score[i] > 0.0)
        if box.free[i] and not blocked:
            largest = max(largest, abs(unit[i] * score[i] / rows))
    return largest


# --------------------------------------------------------------------------------------- EM
@jit_exact
def _damped_newton(
    information: FloatArray, score: FloatArray, movable: BoolArray, aside: FloatArray, cap: float
) -> FloatArray:
    """Newton's move where the information is positive definite, else along eigenvectors with |eigenvalue|."""
    P = score.size
    one = np.ones(P)
    lifted, L, slope, move = np.empty((P, P)), np.empty((P, P)), np.empty(P), np.empty(P)
    scaled_information(-information, 1.0, one, movable, aside, -1.0, lifted)
    if not factor(lifted, L):
        careful: FloatArray = newton_move(information, score, movable, cap)
        return careful
    for i in range(P):
        slope[i] = score[i] if movable[i] else 0.0
    solve_factored(L, slope, move)
    largest = 0.0
    for i in range(P):
        largest = max(largest, abs(move[i]))
    if largest > cap:
        move *= cap / largest
    return move


@jit_exact
def _move_inside(
    box: Box, theta: FloatArray, score: FloatArray, information: FloatArray, start: int, stop: int, move: FloatArray
) -> None:
    """move[start:stop] = a damped Newton move of one part of the parameters that starts into the box."""
    n = stop - start
    movable = np.empty(theta.size, np.bool_)
    find_movable(box, theta, score, movable)
    part = movable[start:stop].copy()
    rows = np.empty((box.shifts.shape[0], n))
    one = np.ones(n)
    while True:
        count = directions_aside(box.shifts, part, one, rows) if start == 0 else 0
        step = _damped_newton(
            information[start:stop, start:stop].copy(), score[start:stop], part, rows[:count], STEP_CAP
        )
        across = False
        for i in range(n):
            at = theta[start + i]
            if (at <= box.lower[start + i] and step[i] < 0.0) or (at >= box.upper[start + i] and step[i] > 0.0):
                across = True
                part[i] = False
        if not across:
            move[start:stop] = step
            return


@jit_exact
def _closed_m_step(model: Predictors, sums: Sums, theta: FloatArray, mass_row: int, target: FloatArray) -> bool:
    """target = where the experts' maximise Q, all of normal law; False where their moments are too poor to tell."""
    K, u = model.address.size, model.columns.shape[1]
    rss, mass = np.zeros(theta.size), np.zeros(theta.size)
    gram, L, cross, step = np.empty((u, u)), np.empty((u, u)), np.empty(u), np.empty(u)
    target[:] = theta
    for k in range(K):
        a, b = model.mean[k], model.scale[k]
        width, place = model.width[a], model.columns[model.scale[k], 0]
        variance = np.exp(theta[place])
        weights = sums.bends[mass_row + k]
        own = weights[0]
        if own <= 0.0:
            continue
        for i in range(width):
            cross[i] = variance * sums.slopes[a, model.features[a, i]]
            for j in range(i + 1):
                gram[i, j] = weights[product_of(model.features[a, i], model.features[a, j])]
        if not factor(gram[:width, :width], L):
            return False
        solve_factored(L, cross[:width], step[:width])
        square = variance * (2.0 * sums.slopes[b, 0] + own)
        for i in range(width):
            target[model.columns[a, i]] += step[i]
            square -= step[i] * cross[i]
        rss[place] += max(square, 0.0)
        mass[place] += own
    for k in range(K):
        place = model.columns[model.scale[k], 0]
        if mass[place] > 0.0:
            target[place] = log(max(rss[place], 1e-300) / mass[place])
    return True


@jit_exact
def _add_closed_information(
    model: Predictors, sums: Sums, theta: FloatArray, mass_row: int, information: FloatArray
) -> None:
    """Add minus the Hessian of the normal experts' part of Q."""
    for k in range(model.address.size):
        a, b = model.mean[k], model.scale[k]
        place = model.columns[b, 0]
        unit = np.exp(-theta[place])
        weights = sums.bends[mass_row + k]
        for i in range(model.width[a]):
            at = model.columns[a, i]
            for j in range(model.width[a]):
                information[at, model.columns[a, j]] += (
                    unit * weights[product_of(model.features[a, i], model.features[a, j])]
                )
            information[at, place] += sums.slopes[a, model.features[a, i]]
            information[place, at] += sums.slopes[a, model.features[a, i]]
        information[place, place] += sums.slopes[b, 0] + 0.5 * weights[0]


@jit_exact
def _m_step(model: Predictors, box: Box, sums: Sums, theta: FloatArray, score: FloatArray, move: FloatArray) -> bool:
    """move (P,) = where one generalised EM step leads; whether the experts' move maximises their part of Q."""
    P, K, n = theta.size, model.address.size, box.n_gate
    information = np.empty((P, P))
    gather_information(model, sums, information)
    _move_inside(box, theta, score, information, GATE, n, move)
    normal = True
    for k in range(K):
        normal = normal and model.mean[k] >= 0
    mass_row = K * (K - 1) // 2
    if normal:
        target = np.empty(P)
        if _closed_m_step(model, sums, theta, mass_row, target):
            inside = True
            for i in range(n, P):
                if not box.free[i] and target[i] != box.held[i]:
                    inside = False
                if box.free[i] and (target[i] < box.lower[i] or target[i] > box.upper[i]):
                    inside = (
                        inside and box.floors[i] > -np.inf
                    )  # a variance that meets its floor leaves means as they are
            if inside:
                for i in range(n, P):
                    move[i] = target[i] - theta[i]
                return True
        _add_closed_information(model, sums, theta, mass_row, information)
    _move_inside(box, theta, score, information, n, P, move)
    return False


@jit
def em_steps(
    code: Code,
    model: Predictors,
    rows: Rows,
    total: float,
    box: Box,
    theta: FloatArray,
    most: int,
    s: Scratch,
    sums: Sums,
    score: FloatArray,
) -> tuple[float, int, int]:
    """Generalised EM while it climbs fast, in place; the log-likelihood, steps and passes. The score is that here."""
    P = theta.size
    move, new, one = np.empty(P), np.empty(P), np.ones(P)
    loglik = call_pass(code.add_up, (model, rows, theta, EM, s, sums))
    gather_score(model, sums, score)
    steps, passes = 0, 1
    while steps < most and steepness(box, theta, score, total, one) > GRADIENT:
        exact = _m_step(model, box, sums, theta, score, move)
        share = 1.0
        risen = False
        level = loglik
        for _ in range(40):
            for i in range(P):
                new[i] = theta[i] + (move[i] if exact and i >= box.n_gate else share * move[i])
            admit(box, new, new)
            level = call_pass(code.add_up, (model, rows, new, EM, s, sums))
            passes += 1
            if level >= loglik - SLACK * abs(loglik):
                risen = True
                break
            share *= 0.5
        if not risen:
            call_pass(code.add_up, (model, rows, theta, EM, s, sums))
            passes += 1
            break
        gain = level - loglik
        theta[:] = new
        loglik = level
        gather_score(model, sums, score)
        steps += 1
        if gain <= EM_GAIN * abs(level):
            break
    return loglik, steps, passes


# --------------------------------------------------------------------------------------- Newton
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
        np.zeros(2, np.int64),
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
                q.hessian, total, q.unit, q.movable, q.aside[: q.counts[0]], _beyond(q, total), q.information
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
def _beyond(q: Quadratic, total: float) -> float:
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
def _eigenvalues(q: Quadratic, box: Box, total: float) -> FloatArray:
    """Of the information in fine units, among what moves and is not set aside, ascending."""
    outside = q.counts[0]
    for i in range(q.unit.size):
        outside += 0 if q.movable[i] else 1
    scaled_information(q.hessian, total, q.unit, q.movable, q.aside[: q.counts[0]], _beyond(q, total), q.information)
    eigenvalues: FloatArray = np.linalg.eigvalsh(q.information)[: q.unit.size - outside]  # type: ignore[assignment]
    return eigenvalues


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
    At the end it is that of the end point. Convergence means a gradient of zero, as far as double precision goes.
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
            loglik = _hessian_at(code, model, rows, total, box, theta, s, sums, score, q)
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
            size = 0.0
            for i in range(P):
                size += (step[i] / q.unit[i]) ** 2
                new[i] = theta[i] + step[i]
            size = sqrt(size)
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
            if ratio > 0.75 and size > 0.9 * radius:
                radius = min(2.5 * radius, MAX_RADIUS)
            elif not ratio > 0.25:
                radius = 0.25 * min(size, radius)
            if ratio > 1e-4:
                idle = idle + 1 if gained <= 1e-9 else 0
                kept = whole and after <= STILL_GOOD * steep and after > GRADIENT
                if kept:
                    _learn(q, step, score, there)
                    _set_up(q, box, total)
                theta[:] = new
                score[:] = there
                loglik = level
                steep = after
                moved = True
                break
            if radius < 1e-13 or abs(predicted) <= 1e-2 * roundoff:
                break
        if not moved:
            # nothing is left to gain, or what was promised did not come
            nothing = promised <= roundoff or steep <= CERTIFIED_GRADIENT
            loglik = _hessian_at(code, model, rows, total, box, theta, s, sums, score, q)
            return loglik, nothing, count, passes + 1
        if idle >= 20:
            break
    return loglik, False, count, passes


@jit
def _hessian_at(
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
    eigenvalues = _eigenvalues(q, box, total)
    _set_up(q, box, total)
    if eigenvalues.size == 0:
        return False
    return bool(eigenvalues[0] < -1e-10 * max(abs(eigenvalues[-1]), 1e-300))


# --------------------------------------------------------------------------------------- the verdict
@jit_exact
def is_spike(box: Box, theta: FloatArray, mass: FloatArray, count: IntArray, weight_of_a_row: float) -> bool:
    """Whether an expert that may sink onto few rows has done so."""
    K = mass.size
    smallest = np.full(K, np.inf)
    largest = -np.inf
    for k in range(K):
        for i in box.sinks[k]:
            if i >= 0:
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
    steps: int,
    passes: int,
) -> End:
    """What kind of point an ascent ended at, from the Hessian there over all rows."""
    P = theta.size
    one = np.ones(P)
    fine = steepness(box, theta, score, total, q.unit)
    plain = steepness(box, theta, score, total, one)
    eigenvalues = _eigenvalues(q, box, total)
    smallest = eigenvalues[0] if eigenvalues.size else np.inf
    largest = eigenvalues[-1] if eigenvalues.size else np.inf
    slope = 0.0
    blocked = on_floor = False
    for i in range(P):
        if q.movable[i]:
            slope += (q.unit[i] * score[i] / total) ** 2
        elif box.free[i]:
            blocked = True
            on_floor = on_floor or theta[i] <= box.floors[i]
    clear = smallest > max(FLAT * largest, NO_INFORMATION) and sqrt(slope) <= 0.1 * NO_WAY_UP * smallest
    kind = OPEN
    if fine <= CERTIFIED_GRADIENT and clear:
        count = np.zeros(mass.size, np.int64)
        if on_floor:
            kind = AT_FLOOR
        elif call_behind(code.behind, (model, rows, theta, box.n_local, mass, s, count)) and is_spike(
            box, theta, mass, count, weight_of_a_row
        ):
            kind = SPIKE
        else:
            kind = AT_BOUND if blocked else STRICT_MAXIMUM
    return End(loglik, plain, fine, smallest, largest, kind, steps, passes)


@jit
def _warmed(
    code: Code,
    model: Predictors,
    rows: Rows,
    few: Rows,
    weight_of_a_row: float,
    box: Box,
    theta: FloatArray,
    mass: FloatArray,
    s: Scratch,
    sums: Sums,
    score: FloatArray,
    q: Quadratic,
) -> bool:
    """Whether theta went a short way to a strict maximum of a sample of the rows.

    The quadratic model is then that of the sample, in the units of all rows. Where the way is long, a sample may lead
    to another maximum than all rows do: then theta stays where it was.
    """
    P = theta.size
    start = theta.copy()
    total, share = few.weight.sum(), few.weight.sum() / rows.weight.sum()
    _, steps, passes = call_em(code.em_steps, (code, model, few, total, box, theta, EM_STEPS, s, sums, score))
    loglik, converged, _, _ = call_newton(
        code.newton_steps, (code, model, few, total, box, theta, s, sums, score, q, UNKNOWN, SHORT_WAY)
    )
    mass[:] = sums.mass
    kind = OPEN
    if converged:
        end = call_judge(
            code.judge, (code, model, few, total, weight_of_a_row, box, theta, loglik, score, mass, q, s, steps, passes)
        )
        kind = end.kind
    if kind != STRICT_MAXIMUM and kind != AT_BOUND:
        theta[:] = start
        return False
    for i in range(P):
        for j in range(P):
            q.hessian[i, j] /= share
    return True


@jit
def ascend(
    code: Code,
    model: Predictors,
    rows: Rows,
    few: Rows,
    total: float,
    weight_of_a_row: float,
    box: Box,
    theta: FloatArray,
    mass: FloatArray,
    s: Scratch,
    sums: Sums,
) -> End:
    """From a start to its end, in place, and what kind of point that is; mass (K,) receives the experts' masses.

    With ``few``, a sample of the rows or none, the way there is walked on the sample first.
    """
    P = theta.size
    score = np.empty(P)
    q = quadratic_for(P, box.shifts.shape[0])
    admit(box, theta, theta)
    steps = passes = 0
    warm = False
    if few.weight.size > 0:
        warm = _warmed(code, model, rows, few, weight_of_a_row, box, theta, mass, s, sums, score, q)
    if not warm:
        _, steps, em_passes = call_em(code.em_steps, (code, model, rows, total, box, theta, EM_STEPS, s, sums, score))
        passes += em_passes
    loglik, converged, count, more = call_newton(
        code.newton_steps, (code, model, rows, total, box, theta, s, sums, score, q, warm, NEWTON_STEPS)
    )
    mass[:] = sums.mass
    steps, passes = steps + count, passes + more
    if not converged:
        one = np.ones(P)
        plain = steepness(box, theta, score, total, one)
        return End(loglik, plain, plain, np.nan, np.nan, OPEN, steps, passes)
    end: End = call_judge(
        code.judge, (code, model, rows, total, weight_of_a_row, box, theta, loglik, score, mass, q, s, steps, passes)
    )
    return end


@cache
def code() -> Code:
    """Addresses of the parts, compiled or read from disk when they are asked for first."""
    return Code(
        add_up=address_of(add_up, PASS),
        behind=address_of(rests_on_few, BEHIND),
        em_steps=address_of(em_steps, EM_PART),
        newton_steps=address_of(newton_steps, NEWTON_PART),
        judge=address_of(judge, VERDICT),
        ascend=address_of(ascend, ASCENT),
    )
