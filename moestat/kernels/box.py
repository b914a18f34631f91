"""The box that parameters live in: bounds, floors, held values, and shifts that change no density."""

from __future__ import annotations

from typing import NamedTuple

from moestat.kernels.address import FLAGS, ROW, TABLE, WHOLE, record
from moestat.kernels.compile import jit_exact
from moestat.typing import BoolArray, FloatArray, IntArray


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
