"""Second-order sums of one block: the exact Hessian of the log-likelihood, and the gate's M-step information.

With a_k = d(h_k + b_k), u_k = d h_k, A = sum r_k a_k and U = sum pi_k u_k, the Hessian of a row is

    - A A' + U U' + sum_k [ (r - pi)_k u u' ]_gate + [ r_k db db' ]_expert + [ r_k u db' ]_cross + curvatures.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from moestat.kernels.compile import jit
from moestat.kernels.linear import STRIP, add_lower_products, add_products, feature_products, row_dots
from moestat.typing import FloatArray, IntArray


@jit
def mean_derivatives(
    gate_columns: IntArray,
    expert_columns: IntArray,
    PI: FloatArray,
    R: FloatArray,
    weight: FloatArray,
    Jg: FloatArray,
    Je: FloatArray,
    A: FloatArray,
    U: FloatArray,
    scratch: FloatArray,
) -> None:
    """Rows sqrt(weight) * A (P, B) and sqrt(weight) * U (Pg, B), scattered through the columns.

    The rows above Pg + Pe and Pg that pad A and U to multiples of four are left alone. scratch is (2, B).
    """
    K, B = R.shape
    up = scratch[0]
    down = scratch[1]
    for j in range(B):
        up[j] = sqrt(weight[j])
    for j in range(B):
        down[j] = 1.0 / up[j] if weight[j] > 0.0 else 0.0
    _clear(A)
    _clear(U)
    r = np.empty(B)
    p = np.empty(B)
    for k in range(K):
        resp = R[k]
        pi = PI[k]
        for j in range(B):
            r[j] = resp[j] * down[j]
        for j in range(B):
            p[j] = pi[j] * up[j]
        gate = Jg[0 if Jg.shape[0] == 1 else k]
        expert = Je[0 if Je.shape[0] == 1 else k]
        for a in range(gate_columns.shape[1]):
            _add_scaled(r, gate[a], A[gate_columns[k, a]])
            _add_scaled(p, gate[a], U[gate_columns[k, a]])
        for a in range(expert_columns.shape[1]):
            _add_scaled(r, expert[a], A[expert_columns[k, a]])


@jit
def _clear(rows: FloatArray) -> None:
    for i in range(rows.shape[0]):
        o = rows[i]
        for j in range(o.size):
            o[j] = 0.0


@jit
def _add_scaled(w: FloatArray, x: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] += w[j] * x[j]


@jit
def _scale(w: FloatArray, x: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] = w[j] * x[j]


@jit
def add_scores(A: FloatArray, U: FloatArray, weight: FloatArray, score: FloatArray) -> None:
    """score += sum_j sqrt(weight_j) (A - U)_j, the score of the block."""
    root = np.empty(weight.size)
    for j in range(weight.size):
        root[j] = sqrt(weight[j])
    total = np.zeros(U.shape[0])
    row_dots(root, A[: score.size], score)
    row_dots(root, U, total)
    for i in range(total.size):
        score[i] -= total[i]


@jit
def subtract_gate(A: FloatArray, U: FloatArray) -> None:
    """A[i] -= U[i]: the rows become per-row scores times sqrt(weight)."""
    for i in range(U.shape[0]):
        o = A[i]
        v = U[i]
        for j in range(o.size):
            o[j] -= v[j]


@jit
def add_local_products(
    D: FloatArray,
    R: FloatArray,
    Jg: FloatArray,
    Je: FloatArray,
    X: FloatArray,
    W: FloatArray,
    out: FloatArray,
) -> None:
    """out[k] += [u; db]' diag(D or R) [u; db], lower tiles: rows of the gate carry D, rows of the expert R.

    X, W are scratch (q, B) and out is (K, q, q) with q = qg + qe padded to a multiple of four.
    """
    K = R.shape[0]
    qg = Jg.shape[1]
    qe = Je.shape[1]
    for k in range(K):
        gate = Jg[0 if Jg.shape[0] == 1 else k]
        expert = Je[0 if Je.shape[0] == 1 else k]
        for a in range(qg):
            X[a] = gate[a]
            _scale(D[k], gate[a], W[a])
        for a in range(qe):
            X[qg + a] = expert[a]
            _scale(R[k], expert[a], W[qg + a])
        add_lower_products(W, X, out[k])


@jit
def add_weighted_outer(
    columns: IntArray,
    PI: FloatArray,
    weight: FloatArray,
    J: FloatArray,
    U: FloatArray,
    X: FloatArray,
    W: FloatArray,
    out_mean: FloatArray,
    out_local: FloatArray,
) -> None:
    """Sums for a gate's M-step information: out_mean += w U U' and out_local[k] += w pi_k u u' (lower tiles).

    U (Pg, B), X, W (q, B) are scratch with rows padded to multiples of four.
    """
    K, B = PI.shape
    p = np.empty(B)
    root = np.empty(B)
    for j in range(B):
        root[j] = sqrt(weight[j])
    _clear(U)
    for k in range(K):
        rows = J[0 if J.shape[0] == 1 else k]
        _scale(root, PI[k], p)
        for a in range(columns.shape[1]):
            _add_scaled(p, rows[a], U[columns[k, a]])
        _scale(weight, PI[k], p)
        for a in range(columns.shape[1]):
            X[a] = rows[a]
            _scale(p, rows[a], W[a])
        add_lower_products(W, X, out_local[k])
    add_lower_products(U, U, out_mean)


@jit
def add_softmax_information(PI: FloatArray, weight: FloatArray, F: FloatArray, out: FloatArray) -> None:
    """out[(k, l)] -= sum_j w pi_k pi_l F[u] F[v] for l < k and v <= u.   PI (K, B), F (q, B).

    The off-diagonal blocks of the gate's information when logits are linear in known features F. A
    diagonal block is minus the sum of the others in its row, because the weights sum to one. out has
    K (K - 1) / 2 rows and q (q + 1) / 2 columns, both padded to multiples of four.
    """
    K, B = PI.shape
    width = min(B, STRIP)
    products = np.zeros((out.shape[1], width))
    pairs = np.zeros((out.shape[0], width))
    scaled = np.zeros(width)
    for first in range(0, B, STRIP):
        last = min(first + STRIP, B)
        size = last - first
        feature_products(F, first, last, products)
        w = weight[first:last]
        row = 0
        for k in range(1, K):
            p = PI[k, first:last]
            for j in range(size):
                scaled[j] = -w[j] * p[j]
            for l in range(k):
                q = PI[l, first:last]
                o = pairs[row]
                for j in range(size):
                    o[j] = scaled[j] * q[j]
                for j in range(size, width):  # the last strip may be short
                    o[j] = 0.0
                row += 1
        add_products(pairs, products, out)
