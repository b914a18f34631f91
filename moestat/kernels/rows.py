"""The E-step on one block: gate logits and expert log densities to weights, responsibilities and log-likelihood.

Also what EM makes of the responsibilities: hard assignments, and both parts of the expected log-likelihood Q.
"""

from __future__ import annotations

from moestat.kernels.compile import jit, jit_exact
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

    The largest logit of a row is taken off before log densities are added, which huge logits would round away.
    """
    # short loops over few arrays: LLVM vectorises only what it can prove, or check, to be disjoint
    top = scratch[0]
    top_gate = scratch[1]
    total_gate = scratch[2]
    _maxima(H, E, R, top, top_gate)
    _exponentials(H, top_gate, PI, total_gate)
    _exponentials_in_place(R, top, row)
    if normalised:
        for j in range(row.size):
            t = 1.0 / (row[j] * total_gate[j])  # one division for both reciprocals
            top_gate[j] = t * total_gate[j]
            total_gate[j] = t * row[j]
        for j in range(row.size):
            row[j] = top[j] + vlog(row[j] * total_gate[j])
    else:
        for j in range(row.size):
            top[j] += top_gate[j]
            top_gate[j] = 1.0 / row[j]
        for j in range(row.size):
            total_gate[j] = 0.0
        for j in range(row.size):
            row[j] = top[j] + vlog(row[j])
    _divide(weight, total_gate, top_gate, PI, R, D)
    loglik = 0.0
    for j in range(row.size):
        loglik += weight[j] * row[j]
    return loglik


@jit_exact  # reassociated, the sum would be that of huge logits and densities again
def _maxima(H: FloatArray, E: FloatArray, R: FloatArray, top: FloatArray, top_gate: FloatArray) -> None:
    """The largest entry of H in each row, R = (H - largest) + E, and the largest entry of R."""
    h = H[0]
    for j in range(top.size):
        top_gate[j] = h[j]
    for k in range(1, H.shape[0]):
        h = H[k]
        for j in range(top.size):
            top_gate[j] = max(top_gate[j], h[j])
    h = H[0]
    e = E[0]
    r = R[0]
    for j in range(top.size):
        t = (h[j] - top_gate[j]) + e[j]
        r[j] = t
        top[j] = t
    for k in range(1, H.shape[0]):
        h = H[k]
        e = E[k]
        r = R[k]
        for j in range(top.size):
            t = (h[j] - top_gate[j]) + e[j]
            r[j] = t
            top[j] = max(top[j], t)


@jit
def _exponentials(V: FloatArray, top: FloatArray, out: FloatArray, total: FloatArray) -> None:
    """out = exp(V - top), and its sum over experts."""
    for j in range(top.size):
        total[j] = 0.0
    for k in range(V.shape[0]):
        v = V[k]
        o = out[k]
        for j in range(top.size):
            t = vexp(v[j] - top[j])
            o[j] = t
            total[j] += t


@jit
def _exponentials_in_place(V: FloatArray, top: FloatArray, total: FloatArray) -> None:
    """The same for out = V: one array under two names would not vectorise."""
    for j in range(top.size):
        total[j] = 0.0
    for k in range(V.shape[0]):
        v = V[k]
        for j in range(top.size):
            t = vexp(v[j] - top[j])
            v[j] = t
            total[j] += t


@jit
def _divide(
    weight: FloatArray, gate_share: FloatArray, share: FloatArray, PI: FloatArray, R: FloatArray, D: FloatArray
) -> None:
    """PI *= gate_share, R *= weight * share, D = R - weight * PI."""
    for j in range(weight.size):
        share[j] *= weight[j]
    for k in range(PI.shape[0]):
        p = PI[k]
        r = R[k]
        d = D[k]
        for j in range(weight.size):
            p[j] *= gate_share[j]
        for j in range(weight.size):
            t = r[j] * share[j]
            r[j] = t
            d[j] = t - weight[j] * p[j]


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


@jit
def harden(PI: FloatArray, weight: FloatArray, row: FloatArray, R: FloatArray, D: FloatArray) -> float:
    """Give every row whole to its likeliest expert, a tie to the lowest index.

    Arguments are what `combine` wrote; R becomes weight or 0, D becomes R - weight * PI. Returns
    sum weight * max_k log(pi_k f_k), which is log p plus the logarithm of the largest responsibility.
    """
    K, B = R.shape
    total = 0.0
    for j in range(B):
        w = weight[j]
        best = 0
        top = R[0, j]
        for k in range(1, K):
            if R[k, j] > top:
                best = k
                top = R[k, j]
        for k in range(K):
            R[k, j] = 0.0
        R[best, j] = w
        if w > 0.0:
            total += w * (row[j] + vlog(top / w))
    for k in range(K):
        r = R[k]
        p = PI[k]
        d = D[k]
        for j in range(B):
            d[j] = r[j] - weight[j] * p[j]
    return total


@jit
def gate_expectation(
    H: FloatArray,
    R: FloatArray,
    weight: FloatArray,
    normalised: bool,
    PI: FloatArray,
    D: FloatArray,
    scratch: FloatArray,
) -> float:
    """Gate's part of Q, sum_jk R log pi with 0 log 0 = 0, at logits H (K, B) and held R = weight * r.

    PI receives pi = softmax(h), D receives R - weight * pi; ``normalised=False`` puts h in the place of
    log pi and sets PI to zero. scratch is (2, B).
    """
    K, B = H.shape
    top = scratch[0]
    norm = scratch[1]
    h = H[0]
    for j in range(B):
        top[j] = h[j]
    for k in range(1, K):
        h = H[k]
        for j in range(B):
            top[j] = max(top[j], h[j])
    _exponentials(H, top, PI, norm)
    for k in range(K):
        p = PI[k]
        r = R[k]
        d = D[k]
        for j in range(B):
            p[j] = p[j] / norm[j] if normalised else 0.0
        for j in range(B):
            d[j] = r[j] - weight[j] * p[j]
    for j in range(B):
        norm[j] = vlog(norm[j]) if normalised else 0.0
        top[j] = top[j] if normalised else 0.0
    total = 0.0
    for k in range(K):
        h = H[k]
        r = R[k]
        for j in range(B):
            total += 0.0 if r[j] == 0.0 else r[j] * _less(h[j], top[j], norm[j])
    return total


@jit_exact
def _less(h: float, top: float, norm: float) -> float:
    """(h - top) - norm, in this order."""
    return (h - top) - norm


@jit
def expert_expectation(E: FloatArray, R: FloatArray) -> float:
    """Experts' part of Q, sum_jk R log f with 0 log 0 = 0, at log densities E (K, B) and held R = weight * r."""
    total = 0.0
    for k in range(E.shape[0]):
        e = E[k]
        r = R[k]
        for j in range(e.size):
            total += 0.0 if r[j] == 0.0 else r[j] * e[j]
    return total
