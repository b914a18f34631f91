"""Many fits of one model to data sets of one size, each from its starts, without a call of Python in between."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np

from moestat.kernels.box import Box
from moestat.kernels.compile import jit
from moestat.kernels.parts import Code
from moestat.kernels.predictor_sums import Predictors, scratch_for, sums_for
from moestat.kernels.verdict import OPEN
from moestat.kernels.whole_fit import call_ascend
from moestat.kernels.working_rows import Frame, draw, lay_out, rows_for, tile_width, to_raw, to_working
from moestat.typing import FloatArray, IntArray

#: What is told of a fit, in the order of the columns of ``numbers``.
LOGLIK, GRADIENT, FINE_GRADIENT, SMALLEST, LARGEST, KIND, STEPS, PASSES, REPRESENTED = range(9)
N_NUMBERS = 9


#: From so many rows on, fits begin on one in so many.
SAMPLED_FROM = 4000
SAMPLE = 10


class Task(NamedTuple):
    """What is fitted, besides its predictors.

    Their roles (M,), the box in the user's units, kinds (K,) of experts that may change places (none where
    ``relabelled`` is False), and which columns are centred and scaled.
    """

    roles: IntArray
    box: Box
    kinds: IntArray
    relabelled: bool
    centred_X: int
    centred_y: bool
    scaled_y: bool


class Found(NamedTuple):
    """What is found: unconstrained parameters (R, S, P) in the user's units, ``numbers`` (R, S, N_NUMBERS) and masses
    (R, S, K) of the experts."""

    theta: FloatArray
    numbers: FloatArray
    mass: FloatArray


@jit
def fit_sets(
    code: Code,
    model: Predictors,
    task: Task,
    X: FloatArray,
    y: FloatArray,
    offset: FloatArray,
    weight: FloatArray,
    starts: FloatArray,
    out: Found,
) -> None:
    """Fit every data set from every start.

    X (R, n, d), or (1, n, d) for covariates that all share, y (R, n, r), offset and weight (R, n) or (1, n), starts
    (R, S, P) or (1, S, P). What is not regular, or cannot be judged here, is left `OPEN`, where it has come.
    """
    R, n, r = y.shape
    d, P, K = X.shape[2], starts.shape[2], model.address.size
    B = tile_width(n)
    rows, none = rows_for(n, B, d + 1, r), rows_for(0, B, d + 1, r)
    sample = rows_for(n // SAMPLE, B, d + 1, r) if n >= SAMPLED_FROM else none
    scratch, sums = scratch_for(model, d + 1, B), sums_for(model, d + 1)
    frame = Frame(np.zeros(d + 1), np.ones(d + 1), np.zeros(r), np.ones(r))
    lower, upper, held, theta, mass = np.empty(P), np.empty(P), np.empty(P), np.empty(P), np.empty(K)
    raw = task.box
    for i in range(R):
        own_weight = weight[i if weight.shape[0] > 1 else 0]
        total = own_weight.sum()
        weight_of_a_row = min(1.0, total / n)
        regular = lay_out(
            X[i if X.shape[0] > 1 else 0],
            y[i],
            offset[i if offset.shape[0] > 1 else 0],
            own_weight,
            task.centred_X,
            task.centred_y,
            task.scaled_y,
            frame,
            rows,
        )
        few = none
        if regular and own_weight.min() == own_weight.max():  # unequal weights would be lost on a sample
            few = sample
            draw(rows, n, few)
        to_working(model, task.roles, frame, raw.lower, lower)
        to_working(model, task.roles, frame, raw.upper, upper)
        to_working(model, task.roles, frame, raw.held, held)
        floors = np.maximum(raw.floors, lower)
        for j in range(P):
            if not raw.floors[j] > lower[j]:
                floors[j] = -np.inf
            lower[j] = max(lower[j], raw.floors[j])
        box = Box(lower, upper, floors, held, raw.free, raw.shifts, raw.n_gate, raw.sinks, raw.n_local)
        shift = 0.0
        if task.scaled_y:
            for a in range(r):
                shift -= total * log(frame.response_scale[a])
        for m in range(starts.shape[1]):
            start = starts[i if starts.shape[0] > 1 else 0, m]
            numbers = out.numbers[i, m]
            numbers[:] = np.nan
            numbers[KIND] = OPEN
            out.theta[i, m] = start
            out.mass[i, m] = np.nan
            if not regular:
                continue
            to_working(model, task.roles, frame, start, theta)
            end = call_ascend(
                code.ascend,
                (code, model, rows, few, total, weight_of_a_row, box, theta, mass, scratch, sums),
            )
            numbers[LOGLIK] = end.loglik + shift
            numbers[GRADIENT] = end.gradient
            numbers[FINE_GRADIENT] = end.fine_gradient
            numbers[SMALLEST] = end.smallest
            numbers[LARGEST] = end.largest
            numbers[KIND] = end.kind
            numbers[STEPS] = end.steps
            numbers[PASSES] = end.passes
            numbers[REPRESENTED] = 1.0 if _represent(model, task, box, theta, mass) else 0.0
            to_raw(model, task.roles, frame, theta, out.theta[i, m])
            out.mass[i, m] = mass


@jit
def _represent(model: Predictors, task: Task, box: Box, theta: FloatArray, mass: FloatArray) -> bool:
    """Experts by decreasing mass and the last one's shifts at zero, in place; False where the box is in the way."""
    K = mass.size
    new = theta.copy()
    if task.relabelled:
        order = np.arange(K)
        for k in range(K):  # insertion sort within kinds: stable, and few
            j = k
            while True:
                before = j - 1
                while before >= 0 and task.kinds[before] != task.kinds[j]:
                    before -= 1
                if before < 0 or not mass[order[before]] < mass[order[j]]:
                    break
                order[before], order[j] = order[j], order[before]
                j = before
        mass[:] = mass[order]
        for k in range(K):
            for i in range(model.width[k]):
                new[model.columns[k, i]] = theta[model.columns[order[k], i]]
            for m in range(model.first[k + 1] - model.first[k]):
                a, b = model.first[k] + m, model.first[order[k]] + m
                for i in range(model.width[a]):
                    new[model.columns[a, i]] = theta[model.columns[b, i]]
    for together in box.shifts:
        last = new[together[-1]]
        for i in together:
            new[i] -= last
    for i in range(new.size):
        if new[i] < box.lower[i] or new[i] > box.upper[i] or (not box.free[i] and new[i] != box.held[i]):
            return False
    theta[:] = new
    return True
