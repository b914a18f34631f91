"""Sums over rows for models whose logits and densities depend on linear predictors alone.

With predictors eta_a = c_a' F, logits h_k among them, and log densities b_k that depend on expert k's own, the log
density of a row has in the predictors the gradient s and the Hessian

    s_a    = r_k - pi_k  (a logit),   r_k db_k/d eta_a  (one of expert k's)
    H_ab   = -A_a A_b + U_a U_b + [of one expert: (r - pi), r db, r (db db' + d2b)]

where A_a is r_k or r_k db_k/d eta_a, and U_a is pi_k or 0. A sum over rows of H_ab times products of features is a
block of the Hessian in the parameters: one product of two matrices of rows gives all blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from moestat.kernels.address import FLAG, INDEX, NUMBER, ROW, ROWS, TABLE, TILES, WHOLE, call_law, call_of, record
from moestat.kernels.compile import jit, jit_inline
from moestat.kernels.linear import add_leading_products, feature_products
from moestat.kernels.rows import combine
from moestat.typing import FloatArray, IntArray

#: What a pass adds up. (No plain integers: code would be compiled for each of them.)
LOGLIK, SCORE, EM, HESSIAN = np.arange(4)

#: Orders of derivatives that laws are asked for.
VALUE, SLOPES, BENDS = np.arange(3)

#: An expert on up to so many rows per parameter rests on few.
FEW = 3


class Predictors(NamedTuple):
    """A model by its predictors: the K logits first, then the experts' own, one expert after the other.

    columns, features (M, u) are the parameters of each predictor and the features that they multiply, of which the
    first ``width`` (M,) count; expert k's predictors are numbers first[k] to first[k + 1]. address (K,) and settings
    (K, s) are the experts' laws (see `kernels.address`). mean and scale (K,) are the predictors of a normal law's mean
    and log variance, or -1: such an expert has a closed M-step.
    """

    columns: IntArray
    features: IntArray
    width: IntArray
    first: IntArray
    address: IntArray
    settings: FloatArray
    mean: IntArray
    scale: IntArray


class Rows(NamedTuple):
    """Tiles of rows.

    Features (T, u4, B), the first of them ones, responses (T, r, B), offset, weight, its root and the inverse of
    that, or zero, (T, B).
    Only the first u features count; the others are zero.
    """

    u: int
    F: FloatArray
    Y: FloatArray
    offset: FloatArray
    weight: FloatArray
    root: FloatArray
    inverse_root: FloatArray


class Sums(NamedTuple):
    """What a pass adds up: first-order sums (M4, u4), second-order sums (W4, v4) and masses (K,)."""

    slopes: FloatArray
    bends: FloatArray
    mass: FloatArray


class Scratch(NamedTuple):
    """Rows of one tile."""

    eta: FloatArray  # (M, B), the logits first
    value: FloatArray  # (K, B) log densities
    slopes: FloatArray  # (M - K, B) of the log densities
    bends: FloatArray  # second derivatives
    PI: FloatArray
    R: FloatArray
    row: FloatArray
    more: FloatArray  # (3, B)
    first_order: FloatArray  # (M4, B): what the score in the predictors sums, r - pi of the logits first
    second_order: FloatArray  # (W4, B)
    products: FloatArray  # (v4, B)
    gate: FloatArray  # (M, B): A
    own: FloatArray  # (M, B): weighted r db


@jit
def up4(n: int) -> int:
    """The next multiple of four."""
    return (n + 3) // 4 * 4


@jit
def scratch_for(model: Predictors, u: int, B: int) -> Scratch:
    """Rows for tiles of width B and u features."""
    M, K = model.columns.shape[0], model.address.size
    v = u * (u + 1) // 2
    pairs = 0
    for k in range(K):
        m = model.first[k + 1] - model.first[k]
        pairs += m * (m + 1) // 2
    W = up4(M * (M + 1) // 2)
    return Scratch(
        np.zeros((M, B)),
        np.zeros((K, B)),
        np.zeros((max(M - K, 1), B)),
        np.zeros((max(pairs, 1), B)),
        np.zeros((K, B)),
        np.zeros((K, B)),
        np.zeros(B),
        np.zeros((3, B)),
        np.zeros((up4(M), B)),
        np.zeros((W, B)),
        np.zeros((up4(v), B)),
        np.zeros((M, B)),
        np.zeros((M, B)),
    )


@jit
def sums_for(model: Predictors, u: int) -> Sums:
    """Sums for u features."""
    M = model.columns.shape[0]
    bends = np.zeros((up4(M * (M + 1) // 2), up4(u * (u + 1) // 2)))
    return Sums(np.zeros((up4(M), up4(u))), bends, np.zeros(model.address.size))


@jit
def predict(model: Predictors, theta: FloatArray, F: FloatArray, out: FloatArray) -> None:
    """out (M, B) = the predictors; of a normal law's log variance only the first entry, as the law reads no other."""
    k = 0
    for a in range(out.shape[0]):
        while a >= model.first[k + 1]:
            k += 1
        o = out[a]
        width = model.width[a]
        c = theta[model.columns[a, 0]]
        x = F[model.features[a, 0]]
        if width == 1 and a == model.scale[k]:
            o[0] = c
        elif width == 1:
            for j in range(o.size):
                o[j] = c * x[j]
        else:
            e = theta[model.columns[a, 1]]
            z = F[model.features[a, 1]]
            for j in range(o.size):
                o[j] = c * x[j] + e * z[j]
        i = 2
        while i + 2 <= width:  # two at a time: half the passes over what is written
            c = theta[model.columns[a, i]]
            e = theta[model.columns[a, i + 1]]
            x = F[model.features[a, i]]
            z = F[model.features[a, i + 1]]
            for j in range(o.size):
                o[j] += c * x[j] + e * z[j]
            i += 2
        if i < width:
            c = theta[model.columns[a, i]]
            x = F[model.features[a, i]]
            for j in range(o.size):
                o[j] += c * x[j]


@jit
def divide(
    model: Predictors,
    theta: FloatArray,
    F: FloatArray,
    Y: FloatArray,
    offset: FloatArray,
    weight: FloatArray,
    order: int,
    s: Scratch,
) -> float:
    """The E-step on one tile, with the derivatives of the laws up to the order; returns the log-likelihood."""
    K = model.address.size
    predict(model, theta, F, s.eta)
    pair = 0
    for k in range(K):
        a, b = model.first[k], model.first[k + 1]
        m = b - a
        slopes, bends = s.slopes[a - K : b - K], s.bends[pair : pair + m * (m + 1) // 2]
        call_law(model.address[k], (model.settings[k], s.eta[a:b], Y, offset, order, s.value[k], slopes, bends))
        pair += m * (m + 1) // 2
    loglik: float = combine(s.eta[:K], s.value, weight, True, s.PI, s.R, s.first_order[:K], s.row, s.more)
    return loglik


@jit_inline
def _times(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] = x[j] * y[j]


@jit_inline
def _copy(x: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] = x[j]


@jit
def first_order(model: Predictors, s: Scratch) -> None:
    """Rows of the score in the predictors; those of the logits are there."""
    K = model.address.size
    for k in range(K):
        for a in range(model.first[k], model.first[k + 1]):
            _times(s.R[k], s.slopes[a - K], s.first_order[a])


@jit
def m_step_weights(model: Predictors, weight: FloatArray, s: Scratch) -> int:
    """Rows of what an M-step needs: pairs of logits l < k, then masses or curvatures of the experts; their number."""
    K = model.address.size
    row = 0
    for k in range(K):
        _times(weight, s.PI[k], s.gate[k])
        for l in range(k):
            _minus_times(s.gate[k], s.PI[l], s.second_order[row])
            row += 1
    pair = 0
    for k in range(K):
        m = model.first[k + 1] - model.first[k]
        count = m * (m + 1) // 2
        if model.mean[k] >= 0:
            _copy(s.R[k], s.second_order[row])
            row += 1
        else:
            for i in range(count):
                _minus_times(s.R[k], s.bends[pair + i], s.second_order[row])
                row += 1
        pair += count
    return row


@jit_inline
def _minus_times(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] = -x[j] * y[j]


@jit
def hessian_weights(model: Predictors, root: FloatArray, inverse_root: FloatArray, s: Scratch) -> int:
    """Rows of the Hessian in the predictors, pairs in the order (0,0), (1,0), (1,1), ...; their number."""
    K = model.address.size
    # A of all predictors, times the root of the weight: R holds the weight already
    for k in range(K):
        _times(s.R[k], inverse_root, s.gate[k])
        _times(s.PI[k], root, s.own[k])
        for a in range(model.first[k], model.first[k + 1]):
            _times(s.gate[k], s.slopes[a - K], s.gate[a])
    row = 0
    pair = 0
    for a in range(K):
        for b in range(a + 1):
            _outer_gate(s.gate[a], s.gate[b], s.own[a], s.own[b], s.second_order[row])
            if a == b:
                _add(s.first_order[a], s.second_order[row])
            row += 1
    for k in range(K):
        for a in range(model.first[k], model.first[k + 1]):
            for b in range(a + 1):
                out = s.second_order[row]
                if b == k:
                    _with_own_logit(s.first_order[a], s.gate[a], s.gate[b], out)
                elif b >= model.first[k]:
                    _of_one_expert(s.first_order[a], s.slopes[b - K], s.R[k], s.bends[pair], s.gate[a], s.gate[b], out)
                    pair += 1
                else:
                    _minus_times(s.gate[a], s.gate[b], out)
                row += 1
    return row


@jit_inline
def _outer_gate(A: FloatArray, B: FloatArray, U: FloatArray, V: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] = U[j] * V[j] - A[j] * B[j]


@jit_inline
def _add(x: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] += x[j]


@jit_inline
def _with_own_logit(x: FloatArray, A: FloatArray, B: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] = x[j] - A[j] * B[j]


@jit_inline
def _of_one_expert(
    x: FloatArray, slope: FloatArray, R: FloatArray, bend: FloatArray, A: FloatArray, B: FloatArray, out: FloatArray
) -> None:
    for j in range(out.size):
        out[j] = x[j] * slope[j] - A[j] * B[j] + R[j] * bend[j]


@jit
def add_up(model: Predictors, rows: Rows, theta: FloatArray, level: int, s: Scratch, out: Sums) -> float:
    """One pass: the log-likelihood, and the sums that the level asks for."""
    out.slopes[:] = 0.0
    out.bends[:] = 0.0
    out.mass[:] = 0.0
    M = model.columns.shape[0]
    order = VALUE if level == LOGLIK else (BENDS if level == HESSIAN else SLOPES)
    for k in range(model.address.size):
        if level == EM and model.mean[k] < 0:
            order = BENDS
    loglik = 0.0
    for t in range(rows.F.shape[0]):
        weight = rows.weight[t]
        loglik += divide(model, theta, rows.F[t], rows.Y[t], rows.offset[t], weight, order, s)
        if level == LOGLIK:
            continue
        if level != EM:
            for k in range(out.mass.size):
                out.mass[k] += _total(s.R[k])
        first_order(model, s)
        add_leading_products(s.first_order, M, rows.F[t], out.slopes)
        if level == SCORE:
            continue
        count = (
            m_step_weights(model, weight, s)
            if level == EM
            else hessian_weights(model, rows.root[t], rows.inverse_root[t], s)
        )
        feature_products(rows.F[t][: rows.u], 0, weight.size, s.products)
        add_leading_products(s.second_order, count, s.products, out.bends)
    return loglik


@jit
def gather_score(model: Predictors, sums: Sums, out: FloatArray) -> None:
    """out (P,) = the score."""
    out[:] = 0.0
    for a in range(model.columns.shape[0]):
        for i in range(model.width[a]):
            out[model.columns[a, i]] += sums.slopes[a, model.features[a, i]]


@jit
def product_of(u: int, v: int) -> int:
    """Number of the product of two features."""
    return u * (u + 1) // 2 + v if u >= v else v * (v + 1) // 2 + u


@jit
def scatter_pair(model: Predictors, a: int, b: int, sums: FloatArray, out: FloatArray) -> None:
    """out (P, P) += the block of predictors a and b, b <= a, and its transpose where they differ."""
    for i in range(model.width[a]):
        for j in range(model.width[b]):
            x = sums[product_of(model.features[a, i], model.features[b, j])]
            out[model.columns[a, i], model.columns[b, j]] += x
            if a != b:
                out[model.columns[b, j], model.columns[a, i]] += x


@jit
def gather_hessian(model: Predictors, sums: Sums, out: FloatArray) -> None:
    """out (P, P) = the Hessian."""
    out[:] = 0.0
    row = 0
    for a in range(model.columns.shape[0]):
        for b in range(a + 1):
            scatter_pair(model, a, b, sums.bends[row], out)
            row += 1


@jit
def gather_information(model: Predictors, sums: Sums, out: FloatArray) -> None:
    """out (P, P) = minus the Hessian of Q, of the gate and of the experts without a closed M-step."""
    K = model.address.size
    out[:] = 0.0
    row = 0
    diagonal = np.zeros((K, sums.bends.shape[1]))
    for k in range(K):
        for l in range(k):
            scatter_pair(model, k, l, sums.bends[row], out)
            for c in range(diagonal.shape[1]):
                diagonal[k, c] -= sums.bends[row, c]
                diagonal[l, c] -= sums.bends[row, c]
            row += 1
    for k in range(K):
        scatter_pair(model, k, k, diagonal[k], out)
    for k in range(K):
        if model.mean[k] >= 0:
            row += 1
            continue
        for a in range(model.first[k], model.first[k + 1]):
            for b in range(model.first[k], a + 1):
                scatter_pair(model, a, b, sums.bends[row], out)
                row += 1


@jit
def _total(x: FloatArray) -> float:
    total = 0.0
    for j in range(x.size):
        total += x[j]
    return total


# --------------------------------------------------------------------------------------- rows behind each expert
@jit
def rests_on_few(
    model: Predictors, rows: Rows, theta: FloatArray, n_local: int, mass: FloatArray, s: Scratch, count: IntArray
) -> bool:
    """count (K,) = distinct rows of each expert's own, counted as far as needed; whether one of them has few of them.

    An expert has few where most of its mass is on rows of its own, and these are no more than `FEW` for each of its
    parameters.
    """
    K = mass.size
    enough = FEW * n_local + 1
    u, r = rows.F.shape[1], rows.Y.shape[1]
    seen = np.empty((K, enough, u + r))
    own_mass = np.zeros(K)
    count[:] = 0
    for t in range(rows.F.shape[0]):
        F, Y, weight = rows.F[t], rows.Y[t], rows.weight[t]
        divide(model, theta, F, Y, rows.offset[t], weight, VALUE, s)
        done = True
        for k in range(K):
            for j in range(weight.size):
                if not s.R[k, j] > 0.5 * weight[j]:
                    continue
                own_mass[k] += s.R[k, j]
                if count[k] < enough:
                    _remember(seen[k], F, Y, j, count, k)
            done = done and count[k] >= enough
        if done:
            return False
    few = False
    for k in range(K):
        if not own_mass[k] > 0.5 * mass[k] or count[k] >= enough:
            count[k] = 0
        few = few or count[k] > 0
    return few


@jit
def _remember(seen: FloatArray, F: FloatArray, Y: FloatArray, j: int, count: IntArray, k: int) -> None:
    """Add row j to those that were seen, unless it is among them."""
    u = F.shape[0]
    for i in range(count[k]):
        same = True
        for a in range(u):
            same = same and seen[i, a] == F[a, j]
        for a in range(Y.shape[0]):
            same = same and seen[i, u + a] == Y[a, j]
        if same:
            return
    for a in range(u):
        seen[count[k], a] = F[a, j]
    for a in range(Y.shape[0]):
        seen[count[k], u + a] = Y[a, j]
    count[k] += 1


# --------------------------------------------------------------------------------------- types
PREDICTORS = record(
    Predictors,
    columns=TABLE,
    features=TABLE,
    width=INDEX,
    first=INDEX,
    address=INDEX,
    settings=ROWS,
    mean=INDEX,
    scale=INDEX,
)
TILED_ROWS = record(Rows, u=WHOLE, F=TILES, Y=TILES, offset=ROWS, weight=ROWS, root=ROWS, inverse_root=ROWS)
SUMS = record(Sums, slopes=ROWS, bends=ROWS, mass=ROW)
SCRATCH = record(
    Scratch,
    eta=ROWS,
    value=ROWS,
    slopes=ROWS,
    bends=ROWS,
    PI=ROWS,
    R=ROWS,
    row=ROW,
    more=ROWS,
    first_order=ROWS,
    second_order=ROWS,
    products=ROWS,
    gate=ROWS,
    own=ROWS,
)
PASS = NUMBER(PREDICTORS, TILED_ROWS, ROW, WHOLE, SCRATCH, SUMS)
BEHIND = FLAG(PREDICTORS, TILED_ROWS, ROW, WHOLE, ROW, SCRATCH, INDEX)
call_pass = call_of(PASS)
call_behind = call_of(BEHIND)
