"""Steps of an ascent in a few parameters: what is solved between passes, compiled for many small fits.

Matrices are symmetric, (P, P), minus the Hessian of a log-likelihood per row in given units. Some directions are set
aside, as they change no density: rows (r, P) of length one that are orthogonal to each other.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from moestat.kernels.compile import jit_exact
from moestat.typing import BoolArray, FloatArray, IntArray

#: Curvature below this share of the largest is round-off, and a slope per row below this tells no direction.
NO_CURVATURE = 1e-15
NO_SLOPE = 1e-10

#: Share of the largest pivot below which a factor is not trusted, and eigenvalues decide.
POOR_PIVOT = 1e-10


@jit_exact
def fine_units(hessian: FloatArray, rows: float, out: FloatArray) -> None:
    """out (P,) = units of the parameters, finer than one where a row tells more than one about them."""
    for i in range(out.size):
        out[i] = 1.0 / sqrt(max(-hessian[i, i] / rows, 1.0))


@jit_exact
def directions_aside(shifts: IntArray, movable: BoolArray, unit: FloatArray, out: FloatArray) -> int:
    """out (r, P) = common shifts (r, K) of movable parameters in these units, of length one; how many there are."""
    count = 0
    for r in range(shifts.shape[0]):
        inside = True
        for i in shifts[r]:
            inside = inside and movable[i]
        if not inside:
            continue
        out[count] = 0.0
        size = 0.0
        for i in shifts[r]:
            size += 1.0 / (unit[i] * unit[i])
        for i in shifts[r]:
            out[count, i] = 1.0 / (unit[i] * sqrt(size))
        count += 1
    return count


@jit_exact
def scaled_information(
    hessian: FloatArray,
    rows: float,
    unit: FloatArray,
    movable: BoolArray,
    aside: FloatArray,
    lift: float,
    out: FloatArray,
) -> float:
    """out = minus the Hessian per row in these units; what does not move, or is set aside, gets ``lift``.

    Lifted directions are eigenvectors of their own. A negative lift stands for the mean of the diagonal, which is
    returned.
    """
    P = out.shape[0]
    trace = 0.0
    for i in range(P):
        for j in range(P):
            out[i, j] = -hessian[i, j] / rows * unit[i] * unit[j] if movable[i] and movable[j] else 0.0
        trace += abs(out[i, i])
    if lift < 0.0:
        lift = max(trace / P, 1e-300)
    for i in range(P):
        if not movable[i]:
            out[i, i] = lift
    for v in aside:
        for i in range(P):
            for j in range(P):
                out[i, j] += lift * v[i] * v[j]
    return lift


@jit_exact
def factor(matrix: FloatArray, out: FloatArray) -> bool:
    """Cholesky's factor of a matrix that is clearly positive definite; False where it is not."""
    P = matrix.shape[0]
    largest = 0.0
    for i in range(P):
        largest = max(largest, matrix[i, i])
    for i in range(P):
        for j in range(i + 1):
            s = matrix[i, j]
            for l in range(j):
                s -= out[i, l] * out[j, l]
            if i == j:
                if not s > POOR_PIVOT * largest:
                    return False
                out[i, i] = sqrt(s)
            else:
                out[i, j] = s / out[j, j]
    return True


@jit_exact
def solve_factored(L: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """out = (L L')^{-1} b."""
    P = b.size
    for i in range(P):
        s = b[i]
        for l in range(i):
            s -= L[i, l] * out[l]
        out[i] = s / L[i, i]
    for i in range(P - 1, -1, -1):
        s = out[i]
        for l in range(i + 1, P):
            s -= L[l, i] * out[l]
        out[i] = s / L[i, i]


@jit_exact
def length(x: FloatArray) -> float:
    """Euclidean length."""
    s = 0.0
    for i in range(x.size):
        s += x[i] * x[i]
    return sqrt(s)


@jit_exact
def all_finite(matrix: FloatArray) -> bool:
    """Whether a matrix has eigenvalues that can be computed: parameters on their way to infinity may spoil it."""
    total = 0.0
    for x in matrix.flat:
        total += x - x
    return total == 0.0


@jit_exact
def trust_region_step(slope: FloatArray, curvature: FloatArray, radius: float) -> FloatArray:
    """Maximiser of slope's - 1/2 sum curvature_i s_i^2 over |s| <= radius, in the eigenbasis.

    curvature is sorted; where it is not positive, the step ends on the sphere (the hard case included).
    """
    if slope.size == 0:
        return slope.copy()
    scale = max(abs(curvature[-1]), abs(curvature[0]), 1e-300)
    if curvature[0] > 1e-14 * scale:
        step = slope / curvature
        if length(step) <= radius:
            return step
    lowest = max(0.0, -curvature[0]) + 1e-13 * scale
    shift: float = _shift_for_length(slope, curvature, radius, lowest)
    step = slope / (curvature + shift)
    size = length(step)
    if curvature[0] < 0 and size * size < 0.81 * radius * radius:
        # hard case: the gradient has no part along the direction of ascent; go there anyway
        rest = length(step[1:])
        step[0] = np.copysign(sqrt(radius * radius - rest * rest), slope[0])
    return step


@jit_exact
def _shift_for_length(slope: FloatArray, curvature: FloatArray, radius: float, lowest: float) -> float:
    """Shift mu >= lowest with |slope / (curvature + mu)| close to the radius, by bisection."""
    low: float = lowest
    high: float = lowest + length(slope) / radius + 1e-300
    for _ in range(100):
        middle: float = 0.5 * (low + high)
        size = length(slope / (curvature + middle))
        if abs(size - radius) < 0.01 * radius:
            return middle
        if size > radius:
            low = middle
        else:
            high = middle
    return high


@jit_exact
def best_step(
    information: FloatArray, slope: FloatArray, movable: BoolArray, aside: FloatArray, radius: float, out: FloatArray
) -> None:
    """out (P,) = the maximiser of slope's - s'information s / 2 over |s| <= radius, in what moves and is not set aside.

    Directions without curvature and without slope are left out: nothing there says how far to go. ``information`` has
    lifted what does not move and what is set aside beyond all other curvature.
    """
    P = slope.size
    out[:] = 0.0
    if not all_finite(information):
        return
    eigenvalues, vectors = np.linalg.eigh(information)
    along = vectors.T @ slope
    largest = 0.0
    own = np.zeros(P, np.bool_)
    for m in range(P):
        outside = 0.0
        for i in range(P):
            if not movable[i]:
                outside += vectors[i, m] * vectors[i, m]
        for v in aside:
            s = 0.0
            for i in range(P):
                s += v[i] * vectors[i, m]
            outside += s * s
        own[m] = outside < 0.5
        if own[m]:
            largest = max(largest, abs(eigenvalues[m]))
    for m in range(P):
        own[m] = own[m] and (abs(eigenvalues[m]) > NO_CURVATURE * largest or abs(along[m]) > NO_SLOPE)
    step = trust_region_step(along[own], eigenvalues[own], radius)
    at = 0
    for m in range(P):
        if own[m]:
            for i in range(P):
                out[i] += vectors[i, m] * step[at]
            at += 1


@jit_exact
def newton_move(information: FloatArray, score: FloatArray, movable: BoolArray, cap: float) -> FloatArray:
    """Damped Newton move on a part of Q: along eigenvectors, with |eigenvalue|, at most ``cap`` in any parameter.

    What the information knows nothing of stays: an expert without rows keeps its parameters.
    """
    P = score.size
    move = np.zeros(P)
    seen = np.zeros(P, np.bool_)
    for i in range(P):
        if movable[i]:
            for j in range(P):
                seen[i] = seen[i] or information[i, j] != 0.0
    index = np.flatnonzero(seen)
    if index.size == 0 or not all_finite(information):
        return move
    own = np.empty((index.size, index.size))
    slope = np.empty(index.size)
    for i in range(index.size):
        slope[i] = score[index[i]]
        for j in range(index.size):
            own[i, j] = information[index[i], index[j]]
    eigenvalues, vectors = np.linalg.eigh(own)
    size = np.abs(eigenvalues)
    least = 1e-13 * max(size.max(), 1e-300)
    along = vectors.T @ slope
    for m in range(along.size):
        along[m] = along[m] / size[m] if size[m] > least else 0.0
    step = vectors @ along
    largest = np.abs(step).max()
    shrink = min(1.0, cap / largest) if largest > 0.0 else 1.0
    for i in range(index.size):
        move[index[i]] = shrink * step[i]
    return move
