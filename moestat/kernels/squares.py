"""One block of least squares: gate logits and experts' means to the regression function and its derivatives.

The regression function is m = sum_k pi_k mu_k, the residual e = y - m. With u_k = d h_k, v_k = d mu_k and
U = sum pi_k u_k, weights that sum to one (pi = softmax(h)) give

    dm         = sum_k pi_k (mu_k - m) u_k + sum_k pi_k v_k
    e d2m      = sum_k D_k (u u' + d2h_k) + sum_k C_k (u v' + v u' + d2mu_k) - e (dm U' + U dm')
    D_k        = e pi_k (mu_k - m),   C_k = e pi_k,

and the Hessian of -e^2 / 2 is e d2m - dm dm'. Its last terms make - (dm + e U) (dm + e U)' + e^2 U U', as a
likelihood's do. Weights pi = exp(h), which need not sum to one, have mu_k in the place of mu_k - m, and no U.
"""

from __future__ import annotations

from math import sqrt

from moestat.kernels.compile import jit
from moestat.kernels.vmath import vexp
from moestat.typing import FloatArray, IntArray


@jit
def combine(
    H: FloatArray,
    M: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    to_one: bool,
    PI: FloatArray,
    R: FloatArray,
    D: FloatArray,
    row: FloatArray,
    residual: FloatArray,
    scratch: FloatArray,
) -> float:
    """Per row: pi, m and e = y - m, of logits H and means M (K, B); ``to_one`` says that weights sum to one.

    PI receives pi, R receives weight * pi, D receives weight * e pi (mu - m), row receives -e^2 / 2 and residual e,
    (B,) each. scratch is (2, B). Returns sum weight * row.
    """
    K, B = H.shape
    mean = scratch[1]
    _weights(H, to_one, PI, scratch[0])
    for j in range(B):
        mean[j] = 0.0
    for k in range(K):
        p = PI[k]
        mu = M[k]
        for j in range(B):
            mean[j] += p[j] * mu[j]
    total = 0.0
    for j in range(B):
        e = y[j] - mean[j]
        residual[j] = e
        row[j] = -0.5 * e * e
        total += weight[j] * row[j]
    if not to_one:
        for j in range(B):
            mean[j] = 0.0
    for k in range(K):
        p = PI[k]
        mu = M[k]
        r = R[k]
        d = D[k]
        for j in range(B):
            r[j] = weight[j] * p[j]
            d[j] = r[j] * residual[j] * (mu[j] - mean[j])
    return total


@jit
def _weights(H: FloatArray, to_one: bool, PI: FloatArray, top: FloatArray) -> None:
    """PI = softmax(H), or exp(H)."""
    K, B = H.shape
    for j in range(B):
        top[j] = H[0, j] if to_one else 0.0
    if to_one:
        for k in range(1, K):
            h = H[k]
            for j in range(B):
                top[j] = max(top[j], h[j])
    for k in range(K):
        h = H[k]
        p = PI[k]
        for j in range(B):
            p[j] = vexp(h[j] - top[j])
    if not to_one:
        return
    for j in range(B):
        top[j] = 0.0
    for k in range(K):
        p = PI[k]
        for j in range(B):
            top[j] += p[j]
    for k in range(K):
        p = PI[k]
        for j in range(B):
            p[j] /= top[j]


@jit
def derivatives(
    gate_columns: IntArray,
    expert_columns: IntArray,
    PI: FloatArray,
    M: FloatArray,
    residual: FloatArray,
    weight: FloatArray,
    to_one: bool,
    turned: bool,
    Jg: FloatArray,
    Je: FloatArray,
    A: FloatArray,
    U: FloatArray,
    scratch: FloatArray,
) -> None:
    """Rows sqrt(weight) * dm (P, B), scattered through the columns; ``turned``: those of dm + e U, and of e U (Pg, B).

    Rows that pad A and U to multiples of four are set to zero. scratch is (3, B).
    """
    K, B = PI.shape
    mean = scratch[0]
    own = scratch[1]
    shared = scratch[2]
    _zero(A)
    _zero(U)
    for j in range(B):
        mean[j] = 0.0
    if to_one:
        for k in range(K):
            p = PI[k]
            mu = M[k]
            for j in range(B):
                mean[j] += p[j] * mu[j]
    for k in range(K):
        p = PI[k]
        mu = M[k]
        for j in range(B):
            own[j] = sqrt(weight[j]) * p[j]
            shared[j] = own[j] * residual[j] if to_one and turned else 0.0
        expert = Je[k]
        for a in range(expert_columns.shape[1]):
            _add(own, expert[a], A[expert_columns[k, a]])
        gate = Jg[0 if Jg.shape[0] == 1 else k]
        for j in range(B):
            own[j] = own[j] * (mu[j] - mean[j]) + shared[j]
        for a in range(gate_columns.shape[1]):
            at = gate_columns[k, a]
            _add(own, gate[a], A[at])
            _add(shared, gate[a], U[at])


@jit
def _add(w: FloatArray, x: FloatArray, out: FloatArray) -> None:
    for j in range(out.size):
        out[j] += w[j] * x[j]


@jit
def _zero(rows: FloatArray) -> None:
    for i in range(rows.shape[0]):
        o = rows[i]
        for j in range(o.size):
            o[j] = 0.0
