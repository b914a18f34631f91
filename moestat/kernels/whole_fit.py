"""A whole fit as one compiled function: generalised EM, Newton's method in a trust region, and the verdict.

It takes the steps that `moestat.solvers` take, without a call of Python in between. What it cannot judge beyond
doubt it leaves open.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from moestat.kernels.address import NUMBER, ROW, address_of, call_of
from moestat.kernels.box import BOX, Box, admit, steepness
from moestat.kernels.compile import jit, jit_exact
from moestat.kernels.em_steps import EM_PART, EM_STEPS, call_em, em_steps
from moestat.kernels.newton_steps import NEWTON_PART, Quadratic, call_newton, newton_steps, quadratic_for
from moestat.kernels.parts import END, PARTS, Code, End
from moestat.kernels.predictor_sums import (
    BEHIND,
    LOGLIK,
    PASS,
    SCRATCH,
    SUMS,
    TILED_ROWS,
    Predictors,
    Rows,
    Scratch,
    Sums,
    add_up,
    call_pass,
    rests_on_few,
)
from moestat.kernels.verdict import AT_BOUND, OPEN, STRICT_MAXIMUM, VERDICT, call_judge, judge
from moestat.typing import FloatArray

#: Newton steps from a start to its end, and those of a short way: beyond, a sample may lead elsewhere than all rows do,
#: and is not followed.
NEWTON_STEPS = np.int64(300)
SHORT_WAY = np.int64(10)
UNKNOWN = np.bool_(False)


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
) -> tuple[bool, int]:
    """Whether theta went a short way to a strict maximum of a sample of the rows; and the steps on it.

    The quadratic model is then that of the sample, in the units of all rows. A start from which the maximum's quadratic
    model foretells the gain lies in the maximum's own basin. From farther off a sample may lead to another maximum than
    all rows do: then theta stays where it was.
    """
    P = theta.size
    start = theta.copy()
    total, share = few.weight.sum(), few.weight.sum() / rows.weight.sum()
    before = call_pass(code.add_up, (model, few, theta, LOGLIK, s, sums))
    _, em_count, passes = call_em(code.em_steps, (code, model, few, total, box, theta, EM_STEPS, s, sums, score))
    loglik, converged, count, _ = call_newton(
        code.newton_steps, (code, model, few, total, box, theta, s, sums, score, q, UNKNOWN, SHORT_WAY)
    )
    mass[:] = sums.mass
    kind = OPEN
    if converged:
        end = call_judge(
            code.judge,
            (code, model, few, total, weight_of_a_row, box, theta, loglik, score, mass, q, s, sums, em_count, passes),
        )
        kind = end.kind
    steps = em_count + count
    if (kind != STRICT_MAXIMUM and kind != AT_BOUND) or not _as_predicted(q, start - theta, loglik - before):
        theta[:] = start
        return False, steps
    for i in range(P):
        for j in range(P):
            q.hessian[i, j] /= share
    return True, steps


@jit_exact
def _as_predicted(q: Quadratic, way: FloatArray, gain: float) -> bool:
    """Whether the gain of a way to a maximum is about what the quadratic model there says."""
    predicted = 0.0
    for i in range(way.size):
        for j in range(way.size):
            predicted -= 0.5 * way[i] * q.hessian[i, j] * way[j]
    return bool(gain <= 2.0 * predicted and predicted <= 2.0 * gain)


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
        warm, steps = _warmed(code, model, rows, few, weight_of_a_row, box, theta, mass, s, sums, score, q)
    if not warm:
        _, em_count, em_passes = call_em(
            code.em_steps, (code, model, rows, total, box, theta, EM_STEPS, s, sums, score)
        )
        steps, passes = steps + em_count, em_passes
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
        code.judge,
        (code, model, rows, total, weight_of_a_row, box, theta, loglik, score, mass, q, s, sums, steps, passes),
    )
    return end


ASCENT = END(*PARTS, TILED_ROWS, NUMBER, NUMBER, BOX, ROW, ROW, SCRATCH, SUMS)
call_ascend = call_of(ASCENT)


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
