"""Generalised EM, compiled: the steps of `moestat.solvers.em` for models of linear predictors."""

from __future__ import annotations

from math import log

import numpy as np
from numba.types import Tuple

from moestat.kernels.address import NUMBER, ROW, WHOLE, call_of
from moestat.kernels.ascent import directions_aside, factor, newton_move, scaled_information, solve_factored
from moestat.kernels.box import BOX, Box, admit, find_movable, steepness
from moestat.kernels.compile import jit, jit_exact
from moestat.kernels.parts import PARTS, Code
from moestat.kernels.predictor_sums import (
    EM,
    SCRATCH,
    SUMS,
    Predictors,
    Rows,
    Scratch,
    Sums,
    call_pass,
    gather_information,
    gather_score,
    product_of,
)
from moestat.typing import BoolArray, FloatArray

#: When EM makes room for Newton's method, and what counts as rounding: as in the default solver.
EM_STEPS = np.int64(30)
EM_GAIN = 1e-4
GRADIENT = 1e-11
SLACK = 1e-13
STEP_CAP = 5.0
GATE = np.int64(0)  # where the gate's parameters begin


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


EM_PART = Tuple((NUMBER, WHOLE, WHOLE))(*PARTS, NUMBER, BOX, ROW, WHOLE, SCRATCH, SUMS, ROW)
call_em = call_of(EM_PART)
