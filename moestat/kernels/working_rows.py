"""Rows and parameters of many data sets in working coordinates, set by set.

Covariates and a continuous response are shifted to near their means and divided by the power of two nearest to their
standard deviation, as `moestat.data` does it for one data set.
"""

from __future__ import annotations

from math import floor, frexp, log, log2, sqrt
from typing import NamedTuple

import numpy as np

from moestat.kernels.compile import jit, jit_exact
from moestat.kernels.predictor_sums import Predictors, Rows, up4
from moestat.typing import FloatArray, IntArray

#: What a predictor is in: units of its own, those of the response, or the logarithm of a variance of the response.
PLAIN, MEAN, LOG_VARIANCE = range(3)

#: Locations lie on a grid of this many points per unit; what share of a step rounds up is no simple fraction.
LOCATION_GRID = 1024.0
ROUNDS_UP_FROM = GOLDEN_RATIO = (sqrt(5.0) - 1.0) / 2.0

#: Ranges of a response whose squares stay within double precision.
SMALLEST_SPREAD, LARGEST_SPREAD = 1e-150, 1e150

#: Rows of a tile.
WIDTH = 512

#: Tiles are no narrower, empty rows included: of shorter arrays it hangs on where they lie whether a loop over them
#: runs in vectors, and sums are rounded in one way or the other.
LEAST = 32

#: Smallest pivot, as a share of its diagonal entry, of well-conditioned covariates.
WELL_CONDITIONED = 1e-5


class Frame(NamedTuple):
    """Locations and scales of the features (u,) and of the response (r,), the first feature being the constant."""

    location: FloatArray
    scale: FloatArray
    response_location: FloatArray
    response_scale: FloatArray


@jit_exact
def power_of_two(x: float) -> float:
    """The power of two nearest to a positive number, in the logarithm."""
    return float(2.0 ** min(max(np.rint(log2(x)), -1022.0), 1023.0))


@jit
def location_and_scale(column: FloatArray, weight: FloatArray, centred: bool) -> tuple[float, float]:
    """Of a column; a scale of zero says that it does not vary, or is not finite."""
    total = mean = 0.0
    largest = 0.0
    first = column[0]
    for i in range(column.size):
        total += weight[i]
        mean += weight[i] * (column[i] - first)
    for i in range(column.size):
        largest = max(largest, abs(column[i]))
    mean = first + mean / total
    if not np.isfinite(mean) or not np.isfinite(largest) or largest == 0.0:
        return 0.0, 0.0
    unit = 2.0 ** (frexp(largest)[1] - 1)
    square = 0.0
    shrink = 1.0 / unit
    for i in range(column.size):
        deviation = (column[i] - mean) * shrink
        square += weight[i] * deviation * deviation
    sd = sqrt(square / total)
    if not sd > 1e-15:
        return 0.0, 0.0
    step = power_of_two(sd)
    grid = step / LOCATION_GRID
    location = floor(mean / unit / grid + 1.0 - ROUNDS_UP_FROM) * grid * unit if centred else 0.0
    return location, step * unit


@jit
def _place(column: FloatArray, location: float, scale: float, tiles: FloatArray, at: int) -> None:
    """tiles[:, at] = the column in working units; what pads the last tile repeats its last row."""
    T, _, B = tiles.shape
    unit = 1.0 / scale  # a power of two: exact
    for t in range(T):
        out = tiles[t, at]
        first = t * B
        size = min(B, column.size - first)
        part = column[first : first + size]
        for j in range(size):
            out[j] = (part[j] - location) * unit
        for j in range(size, B):
            out[j] = out[size - 1]


@jit
def lay_out(
    X: FloatArray,
    y: FloatArray,
    offset: FloatArray,
    weight: FloatArray,
    centred_X: int,
    centred_y: bool,
    scaled_y: bool,
    frame: Frame,
    rows: Rows,
) -> bool:
    """Fill frame and rows from covariates X (n, u - 1) and responses y (n, r); False where they are not regular.

    Regular are finite columns that vary and are not nearly collinear. The first ``centred_X`` columns are shifted.
    """
    n, d = X.shape
    T, _, B = rows.F.shape
    column = np.empty(n)
    frame.location[0], frame.scale[0] = 0.0, 1.0
    rows.F[:, 0] = 1.0
    for a in range(d):
        for i in range(n):
            column[i] = X[i, a]
        frame.location[a + 1], frame.scale[a + 1] = location_and_scale(column, weight, a < centred_X)
        if frame.scale[a + 1] == 0.0:
            return False
        _place(column, frame.location[a + 1], frame.scale[a + 1], rows.F, a + 1)
    for a in range(y.shape[1]):
        for i in range(n):
            column[i] = y[i, a] - offset[i]
        location, scale = location_and_scale(column, weight, centred_y)
        if not SMALLEST_SPREAD < scale < LARGEST_SPREAD:
            return False
        frame.response_location[a] = location if scaled_y else 0.0
        frame.response_scale[a] = scale if scaled_y else 1.0
        for i in range(n):
            column[i] = y[i, a]
        _place(column, frame.response_location[a], frame.response_scale[a], rows.Y, a)
    unit = 1.0 / frame.response_scale[0]
    for t in range(T):
        size = min(B, n - t * B)
        for j in range(B):
            i = t * B + min(j, size - 1)
            rows.offset[t, j] = offset[i] * unit
            rows.weight[t, j] = weight[i] if j < size else 0.0
        for j in range(B):
            rows.root[t, j] = sqrt(rows.weight[t, j])
            rows.inverse_root[t, j] = 1.0 / rows.root[t, j] if j < size else 0.0
    return d == 1 or bool(_well_conditioned(rows, d + 1))


@jit
def _well_conditioned(rows: Rows, u: int) -> bool:
    """Whether Cholesky's pivots of the features' products keep clear of zero."""
    gram = np.zeros((u, u))
    for t in range(rows.F.shape[0]):
        for a in range(u):
            for b in range(a + 1):
                s = 0.0
                for j in range(rows.weight.shape[1]):
                    s += rows.weight[t, j] * rows.F[t, a, j] * rows.F[t, b, j]
                gram[a, b] += s
    for a in range(u):
        whole = gram[a, a]
        for b in range(a + 1):
            for c in range(b):
                gram[a, b] -= gram[a, c] * gram[b, c]
            if a == b:
                if not gram[a, a] > WELL_CONDITIONED * whole:
                    return False
                gram[a, a] = sqrt(gram[a, a])
            else:
                gram[a, b] /= gram[b, b]
    return True


@jit
def tile_width(n: int) -> int:
    """Width of the tiles of n rows: even ones, of whole vectors, and of `LEAST` rows at least."""
    return max(LEAST, -(-n // (8 * -(-n // WIDTH))) * 8)


@jit
def rows_for(n: int, B: int, u: int, r: int) -> Rows:
    """Room for n rows in tiles of width B, of u features, the constant among them, and r responses."""
    tiles = -(-n // B)
    F, Y = np.zeros((tiles, up4(u), B)), np.zeros((tiles, r, B))
    return Rows(u, F, Y, np.zeros((tiles, B)), np.zeros((tiles, B)), np.zeros((tiles, B)), np.zeros((tiles, B)))


@jit
def draw(rows: Rows, n: int, few: Rows) -> None:
    """Fill a sample from n rows, spread evenly over them whatever their order, by multiples of the golden ratio."""
    B, width = rows.weight.shape[1], few.weight.shape[1]
    for m in range(few.weight.size):
        x = (m + 0.5) * GOLDEN_RATIO
        i = int((x - floor(x)) * n)
        t, j, a, b = i // B, i % B, m // width, m % width
        for u in range(rows.u):
            few.F[a, u, b] = rows.F[t, u, j]
        for u in range(rows.Y.shape[1]):
            few.Y[a, u, b] = rows.Y[t, u, j]
        few.offset[a, b] = rows.offset[t, j]
        few.weight[a, b] = rows.weight[t, j]
        few.root[a, b] = rows.root[t, j]
        few.inverse_root[a, b] = rows.inverse_root[t, j]


@jit_exact
def to_working(model: Predictors, roles: IntArray, frame: Frame, raw: FloatArray, out: FloatArray) -> None:
    """out (P,) = unconstrained parameters in working coordinates, of those in the user's units."""
    for a in range(roles.size):
        unit = frame.response_scale[0] if roles[a] == MEAN else 1.0
        gain = 0.0
        for i in range(1, model.width[a]):
            at, f = model.columns[a, i], model.features[a, i]
            out[at] = raw[at] * frame.scale[f] / unit
            gain += raw[at] * frame.location[f] if frame.location[f] != 0.0 else 0.0
        at = model.columns[a, 0]
        if roles[a] == LOG_VARIANCE:
            out[at] = raw[at] - 2.0 * log(frame.response_scale[0])
        else:
            shift = frame.response_location[0] if roles[a] == MEAN else 0.0
            out[at] = (raw[at] + gain - shift) / unit


@jit_exact
def to_raw(model: Predictors, roles: IntArray, frame: Frame, working: FloatArray, out: FloatArray) -> None:
    """The inverse of `to_working`."""
    for a in range(roles.size):
        unit = frame.response_scale[0] if roles[a] == MEAN else 1.0
        gain = 0.0
        for i in range(1, model.width[a]):
            at, f = model.columns[a, i], model.features[a, i]
            out[at] = working[at] * unit / frame.scale[f]
            gain += out[at] * frame.location[f]
        at = model.columns[a, 0]
        if roles[a] == LOG_VARIANCE:
            out[at] = working[at] + 2.0 * log(frame.response_scale[0])
        else:
            shift = frame.response_location[0] if roles[a] == MEAN else 0.0
            out[at] = working[at] * unit + shift - gain
