"""Second-order sums of one block: the exact Hessian of the log-likelihood, and the gate's M-step information.

With a_k = d(h_k + b_k), u_k = d h_k, A = sum r_k a_k and U = sum pi_k u_k, the Hessian of a row is

    - A A' + U U' + sum_k [ (r - pi)_k u u' ]_gate + [ r_k db db' ]_expert + [ r_k u db' ]_cross + curvatures.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from moestat.kernels.compile import jit
from moestat.kernels.linear import (
    add_group,
    add_lower_products,
    add_lower_row_products,
    add_row_products,
    form_products,
    products_for,
    row_dots,
)
from moestat.typing import BoolArray, FloatArray, IntArray

#: Rows that a Jacobian's buffer has beyond its own, so that tiles of four may start at any row.
PADDING = 3


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

    Rows that pad A and U to multiples of four are set to zero. scratch is (2, B).
    """
    K, B = R.shape
    up = scratch[0]
    down = scratch[1]
    for j in range(B):
        up[j] = sqrt(weight[j])
    for j in range(B):
        down[j] = 1.0 / up[j] if weight[j] > 0.0 else 0.0
    filled_A = np.zeros(A.shape[0], np.bool_)
    filled_U = np.zeros(U.shape[0], np.bool_)
    r = np.empty(B)
    p = np.empty(B)
    for k in range(K):
        _scale(down, R[k], r)
        _scale(up, PI[k], p)
        gate = Jg[0 if Jg.shape[0] == 1 else k]
        expert = Je[0 if Je.shape[0] == 1 else k]
        for a in range(gate_columns.shape[1]):
            at = gate_columns[k, a]
            _put(r, gate[a], A[at], filled_A[at])
            _put(p, gate[a], U[at], filled_U[at])
            filled_A[at] = True
            filled_U[at] = True
        for a in range(expert_columns.shape[1]):
            at = expert_columns[k, a]
            _put(r, expert[a], A[at], filled_A[at])
            filled_A[at] = True
    _clear(A, filled_A)
    _clear(U, filled_U)


@jit
def _put(w: FloatArray, x: FloatArray, out: FloatArray, add: bool) -> None:
    """out = w x, or out += w x."""
    if add:
        for j in range(out.size):
            out[j] += w[j] * x[j]
    else:
        for j in range(out.size):
            out[j] = w[j] * x[j]


@jit
def _clear(rows: FloatArray, filled: BoolArray) -> None:
    for i in range(rows.shape[0]):
        if not filled[i]:
            o = rows[i]
            for j in range(o.size):
                o[j] = 0.0


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
    gate: FloatArray,
    expert: FloatArray,
    shared: bool,
    W: FloatArray,
    out_gate: FloatArray,
    out_cross: FloatArray,
    out_expert: FloatArray,
) -> None:
    """Local products of each expert: u D u' and db R db' (lower tiles), and db R u'.

    gate and expert hold the rows of Jg and Je one expert after the other, with at least three rows more:
    tiles of four may read past an expert's last row, and what they then add to the padding of the outputs
    means nothing. ``shared`` says that all experts have the gate's first rows. W (q, B) is scratch, and the
    outputs are (K, qg, qg), (K, qe, qg) and (K, qe, qe), all sizes padded to multiples of four.
    """
    K = R.shape[0]
    qg = (gate.shape[0] - PADDING) // (1 if shared else K)
    qe = (expert.shape[0] - PADDING) // K
    for k in range(K):
        row = 0 if shared else k * qg
        for a in range(qg):
            _scale(D[k], gate[row + a], W[a])
        add_lower_row_products(W, gate, row, out_gate[k])
        for a in range(qe):
            _scale(R[k], expert[k * qe + a], W[a])
        add_row_products(W, gate, row, out_cross[k])
        add_lower_row_products(W, expert, k * qe, out_expert[k])


@jit
def add_weighted_outer(
    columns: IntArray,
    PI: FloatArray,
    weight: FloatArray,
    J: FloatArray,
    U: FloatArray,
    W: FloatArray,
    out_mean: FloatArray,
    out_local: FloatArray,
) -> None:
    """Sums for a gate's M-step information: out_mean += w U U' and out_local[k] += w pi_k u u', lower tiles.

    J holds the rows of the gate's Jacobian as in `add_local_products`, K q of them or q when shared.
    U (Pg, B) and W (q, B) are scratch with rows padded to multiples of four.
    """
    K, B = PI.shape
    q = columns.shape[1]
    shared = J.shape[0] - PADDING == q
    p = np.empty(B)
    root = np.empty(B)
    for j in range(B):
        root[j] = sqrt(weight[j])
    filled = np.zeros(U.shape[0], np.bool_)
    for k in range(K):
        row = 0 if shared else k * q
        _scale(root, PI[k], p)
        for a in range(q):
            at = columns[k, a]
            _put(p, J[row + a], U[at], filled[at])
            filled[at] = True
        _scale(weight, PI[k], p)
        for a in range(q):
            _scale(p, J[row + a], W[a])
        add_lower_row_products(W, J, row, out_local[k])
    _clear(U, filled)
    add_lower_products(U, U, out_mean)


@jit
def add_feature_products(
    R: FloatArray, PI: FloatArray, weight: FloatArray, F: FloatArray, experts: bool, pairs: bool, out: FloatArray
) -> None:
    """Weighted sums of F[u] F[v], v <= u, for everything an EM step asks of one set of features.

    The first K rows of ``out`` (with ``experts``) are weighted by R (K, B); the next K (K - 1) / 2 rows (with
    ``pairs``), in the order (1, 0), (2, 0), (2, 1), ..., by -weight pi_k pi_l. These are the off-diagonal
    blocks of the gate's information when logits are linear in F; a diagonal block is minus the sum of the
    others in its row, because the weights sum to one. F is (q, B); out has q (q + 1) / 2 columns; its rows
    and columns are padded to multiples of four.
    """
    K, B = PI.shape
    n = (K if experts else 0) + (K * (K - 1) // 2 if pairs else 0)
    products = products_for(F, n)
    strip = products.shape[1]
    rows = np.empty((4, strip))
    scaled = np.empty(strip)
    for first in range(0, B, strip):
        last = min(first + strip, B)
        form_products(F, first, last, products)
        k = 0 if experts else 1
        l = -1 if experts else 0  # no partner: the row is that of an expert
        for row in range(0, n, 4):
            count = min(4, n - row)
            for i in range(count):
                o = rows[i]
                if l < 0:
                    r = R[k, first:last]
                    for j in range(r.size):
                        o[j] = r[j]
                    k += 1
                    if k == K:
                        k = 1
                        l = 0
                else:
                    if l == 0:
                        w = weight[first:last]
                        p = PI[k, first:last]
                        for j in range(w.size):
                            scaled[j] = -w[j] * p[j]
                    q = PI[l, first:last]
                    for j in range(q.size):
                        o[j] = scaled[j] * q[j]
                    l += 1
                    if l == k:
                        k += 1
                        l = 0
            add_group(rows, 0, count, 0, F, products, first, last, out, row)


@jit
def add_pair_products(W: FloatArray, J: FloatArray, q: int, scratch: FloatArray, out: FloatArray) -> None:
    """out[i] += sum_j W[i, j] J_k[:, j] J_l[:, j]' for the pairs (k, l), l <= k, in the order (0,0), (1,0), (1,1), ...

    J holds K q rows, or q rows that all share, as in `add_local_products`. scratch is (q, B) and out (n, q, q), padded
    to multiples of four; what is added to the padding means nothing.
    """
    shared = J.shape[0] - PADDING == q
    k = 0
    l = 0
    for i in range(out.shape[0]):
        for a in range(q):
            _scale(W[i], J[a if shared else k * q + a], scratch[a])
        add_row_products(scratch, J, 0 if shared else l * q, out[i])
        l += 1
        if l > k:
            k += 1
            l = 0
