"""The E-step on one block: gate logits and expert log densities to weights, responsibilities and log-likelihood."""

from __future__ import annotations

from moestat.kernels.compile import jit
from moestat.kernels.vmath import vexp, vlog
from moestat.typing import FloatArray


@jit
def combine(
    H: FloatArray,
    E: FloatArray,
    weight: FloatArray,
    normalised: bool,
    PI: FloatArray,
    R: FloatArray,
    D: FloatArray,
    row: FloatArray,
    scratch: FloatArray,
) -> float:
    """Per row: pi = softmax(h), r = softmax(h + b) and log p = LSE(h + b) - LSE(h).

    H, E (K, B) are logits and log densities; PI receives pi, R receives weight * r, D receives
    weight * (r - pi), row (B,) receives log p. ``normalised=False`` (a joint likelihood) leaves out
    LSE(h) and sets PI to zero. scratch is (3, B). Returns sum weight * log p. Logits may be -inf as
    long as one of each row is finite. Padding rows (weight 0) must hold finite values.
    """
    # short loops over few arrays: LLVM vectorises only what it can prove, or check, to be disjoint
    K, B = H.shape
    top = scratch[0]
    top_gate = scratch[1]
    total_gate = scratch[2]
    total = row
    h = H[0]
    e = E[0]
    r = R[0]
    for j in range(B):
        t = e[j] + h[j]
        r[j] = t
        top[j] = t
    for j in range(B):
        top_gate[j] = h[j]
        total_gate[j] = 0.0
    for j in range(B):
        total[j] = 0.0
    for k in range(1, K):
        h = H[k]
        e = E[k]
        r = R[k]
        for j in range(B):
            t = e[j] + h[j]
            r[j] = t
            top[j] = max(top[j], t)
        for j in range(B):
            top_gate[j] = max(top_gate[j], h[j])
    for k in range(K):
        h = H[k]
        p = PI[k]
        r = R[k]
        for j in range(B):
            t = vexp(h[j] - top_gate[j])
            p[j] = t
            total_gate[j] += t
        for j in range(B):
            t = vexp(r[j] - top[j])
            r[j] = t
            total[j] += t
    loglik = 0.0
    if normalised:
        for j in range(B):
            top[j] -= top_gate[j]
        for j in range(B):
            t = 1.0 / (total[j] * total_gate[j])  # one division for both reciprocals
            top_gate[j] = t * total_gate[j]
            total_gate[j] = t * total[j]
    else:
        for j in range(B):
            top_gate[j] = 1.0 / total[j]
        for j in range(B):
            total_gate[j] = 0.0
    share = top_gate
    if normalised:
        for j in range(B):
            row[j] = top[j] + vlog(total[j] * total_gate[j])
    else:
        for j in range(B):
            row[j] = top[j] + vlog(total[j])
    for j in range(B):
        share[j] *= weight[j]
    for j in range(B):
        loglik += weight[j] * row[j]
    for k in range(K):
        p = PI[k]
        r = R[k]
        d = D[k]
        for j in range(B):
            p[j] *= total_gate[j]
        for j in range(B):
            t = r[j] * share[j]
            r[j] = t
            d[j] = t - weight[j] * p[j]
    return loglik


@jit
def entropy(R: FloatArray, weight: FloatArray) -> float:
    """-sum_jk weight_j r log r of responsibilities R = weight * r (K, B), with 0 log 0 = 0."""
    K, B = R.shape
    s = 0.0
    for k in range(K):
        r = R[k]
        for j in range(B):
            w = weight[j]
            p = r[j] / w if w > 0.0 else 0.0
            s -= w * p * vlog(p) if p > 1e-300 else 0.0
    return s
