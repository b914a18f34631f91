"""Second-order sums of one block: the exact Hessian of the log-likelihood, and the gate's M-step information.

With a_k = d(h_k + b_k), u_k = d h_k, A = sum r_k a_k and U = sum pi_k u_k, the Hessian of a row is

    - A A' + U U' + sum_k [ (r - pi)_k u u' ]_gate + [ r_k db db' ]_expert + [ r_k u db' ]_cross + curvatures.
"""

from __future__ import annotations

from math import sqrt

from moestat.kernels.compile import jit
from moestat.kernels.linear import add_lower_products, add_products, feature_products
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
        down[j] = 1.0 / up[j] if weight[j] > 0.0 else 0.0
    for i in range(A.shape[0]):
        o = A[i]
        for j in range(B):
            o[j] = 0.0
    for i in range(U.shape[0]):
        o = U[i]
        for j in range(B):
            o[j] = 0.0
    for k in range(K):
        r = R[k]
        p = PI[k]
        gate = Jg[0 if Jg.shape[0] == 1 else k]
        expert = Je[0 if Je.shape[0] == 1 else k]
        for a in range(gate_columns.shape[1]):
            x = gate[a]
            o = A[gate_columns[k, a]]
            v = U[gate_columns[k, a]]
            for j in range(B):
                o[j] += r[j] * down[j] * x[j]
                v[j] += p[j] * up[j] * x[j]
        for a in range(expert_columns.shape[1]):
            x = expert[a]
            o = A[expert_columns[k, a]]
            for j in range(B):
                o[j] += r[j] * down[j] * x[j]


@jit
def add_scores(A: FloatArray, U: FloatArray, weight: FloatArray, score: FloatArray) -> None:
    """score += sum_j sqrt(weight_j) (A - U)_j, the score of the block."""
    n_gate = U.shape[0]
    for i in range(score.size):
        o = A[i]
        s = 0.0
        for j in range(weight.size):
            s += sqrt(weight[j]) * o[j]
        score[i] += s
        if i < n_gate:
            v = U[i]
            s = 0.0
            for j in range(weight.size):
                s += sqrt(weight[j]) * v[j]
            score[i] -= s


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
    K, B = R.shape
    qg = Jg.shape[1]
    qe = Je.shape[1]
    for k in range(K):
        d = D[k]
        r = R[k]
        gate = Jg[0 if Jg.shape[0] == 1 else k]
        expert = Je[0 if Je.shape[0] == 1 else k]
        for a in range(qg):
            x = gate[a]
            o = X[a]
            v = W[a]
            for j in range(B):
                o[j] = x[j]
                v[j] = d[j] * x[j]
        for a in range(qe):
            x = expert[a]
            o = X[qg + a]
            v = W[qg + a]
            for j in range(B):
                o[j] = x[j]
                v[j] = r[j] * x[j]
        add_lower_products(W, X, out[k])


@jit
def add_weighted_outer(
    columns: IntArray, PI: FloatArray, weight: FloatArray, J: FloatArray, U: FloatArray, X: FloatArray, W: FloatArray, out_mean: FloatArray, out_local: FloatArray
) -> None:
    """Sums for a gate's M-step information: out_mean += w U U' and out_local[k] += w pi_k u u' (lower tiles).

    U (Pg, B), X, W (q, B) are scratch with rows padded to multiples of four.
    """
    K, B = PI.shape
    for i in range(U.shape[0]):
        o = U[i]
        for j in range(B):
            o[j] = 0.0
    for k in range(K):
        p = PI[k]
        rows = J[0 if J.shape[0] == 1 else k]
        for a in range(columns.shape[1]):
            x = rows[a]
            o = U[columns[k, a]]
            s = X[a]
            v = W[a]
            for j in range(B):
                o[j] += sqrt(weight[j]) * p[j] * x[j]
                s[j] = x[j]
                v[j] = weight[j] * p[j] * x[j]
        add_lower_products(W, X, out_local[k])
    add_lower_products(U, U, out_mean)


@jit
def add_softmax_information(PI: FloatArray, weight: FloatArray, F: FloatArray, products: FloatArray, W: FloatArray, out: FloatArray) -> None:
    """out[(k, l)] += sum_j w pi_k (delta_kl - pi_l) F[u] F[v], for l <= k and v <= u.

    The gate information of a logit map that is linear in known features. products (vech, B) receives
    F[u] F[v], W (pairs, B) the weights; both are padded with zero rows to multiples of four.
    """
    K, B = PI.shape
    feature_products(F, products)
    row = 0
    for k in range(K):
        p = PI[k]
        for l in range(k + 1):
            q = PI[l]
            o = W[row]
            if l == k:
                for j in range(B):
                    o[j] = weight[j] * p[j] * (1.0 - p[j])
            else:
                for j in range(B):
                    o[j] = -weight[j] * p[j] * q[j]
            row += 1
    add_products(W, products, out)
