"""The E-step on one block: gate logits and expert log densities to weights, responsibilities and log-likelihood.

Also what EM makes of the responsibilities: hard assignments, and both parts of the expected log-likelihood Q.
"""

from __future__ import annotations

import numpy as np

from moestat.kernels.compile import jit, jit_exact, jit_inline
from moestat.kernels.disjoint import load, store
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
    top_gate = scratch[0]
    top = scratch[1]
    total_gate = scratch[2]
    if H.shape[0] == 2 and normalised:
        return float(_combine_two(H, E, weight, PI, R, D, row))
    _maxima(H, E, top_gate, top)
    _joint_exponentials(H, E, top_gate, top, PI, R, total_gate, row)
    loglik: float = _shares(weight, normalised, top_gate, top, total_gate, row)
    _divide(weight, total_gate, top, PI, R, D)
    return loglik


@jit_inline
def _joint(h: float, top: float, e: float) -> float:
    """(h - top) + e, in this order."""
    return (h - top) + e


@jit
def _combine_two(
    H: FloatArray, E: FloatArray, weight: FloatArray, PI: FloatArray, R: FloatArray, D: FloatArray, row: FloatArray
) -> float:
    """`combine` for two experts, whose numbers of a row all stay in registers."""
    h0, h1 = H[0], H[1]
    e0, e1 = E[0], E[1]
    p0, p1 = PI[0], PI[1]
    r0, r1 = R[0], R[1]
    d0, d1 = D[0], D[1]
    loglik = 0.0
    for j in range(row.size):
        w = load(0, weight, j)
        a = load(0, h0, j)
        b = load(0, h1, j)
        top_gate = max(a, b)
        s = _joint(a, top_gate, load(0, e0, j))
        t = _joint(b, top_gate, load(0, e1, j))
        top = max(s, t)
        # of two exponentials of distances to the larger one, one is that of zero
        gap = a - b
        small = vexp(-abs(gap))
        a = 1.0 if gap >= 0.0 else small
        b = small if gap >= 0.0 else 1.0
        gap = s - t
        small = vexp(-abs(gap))
        s = 1.0 if gap >= 0.0 else small
        t = small if gap >= 0.0 else 1.0
        total_gate = a + b
        total = s + t
        both = 1.0 / (total * total_gate)  # one division for both reciprocals
        gate_share = both * total
        share = both * total_gate * w
        one = top + vlog(total * gate_share)
        loglik += w * one
        a *= gate_share
        b *= gate_share
        s *= share
        t *= share
        store(1, row, j, one)
        store(2, p0, j, a)
        store(3, p1, j, b)
        store(4, r0, j, s)
        store(5, r1, j, t)
        store(6, d0, j, s - w * a)
        store(7, d1, j, t - w * b)
    return loglik


@jit
def _maxima(H: FloatArray, E: FloatArray, top_gate: FloatArray, top: FloatArray) -> None:
    """The largest entry of H in each row, and the largest of (H - largest) + E."""
    K, B = H.shape
    for j in range(B):
        top_gate[j] = -np.inf
    for k in range(0, K - 1, 2):
        h0, h1 = H[k], H[k + 1]
        for j in range(B):
            store(1, top_gate, j, max(load(1, top_gate, j), max(load(0, h0, j), load(0, h1, j))))
    if K % 2:
        h0 = H[K - 1]
        for j in range(B):
            store(1, top_gate, j, max(load(1, top_gate, j), load(0, h0, j)))
    for j in range(B):
        top[j] = -np.inf
    for k in range(0, K - 1, 2):
        h0, h1 = H[k], H[k + 1]
        e0, e1 = E[k], E[k + 1]
        for j in range(B):
            g = load(0, top_gate, j)
            s = _joint(load(0, h0, j), g, load(0, e0, j))
            t = _joint(load(0, h1, j), g, load(0, e1, j))
            store(2, top, j, max(load(2, top, j), max(s, t)))
    if K % 2:
        h0, e0 = H[K - 1], E[K - 1]
        for j in range(B):
            s = _joint(load(0, h0, j), load(0, top_gate, j), load(0, e0, j))
            store(2, top, j, max(load(2, top, j), s))


@jit
def _joint_exponentials(
    H: FloatArray,
    E: FloatArray,
    top_gate: FloatArray,
    top: FloatArray,
    PI: FloatArray,
    R: FloatArray,
    total_gate: FloatArray,
    total: FloatArray,
) -> None:
    """PI = exp(H - top_gate) and R = exp((H - top_gate) + E - top), and their sums over experts."""
    K, B = H.shape
    for j in range(B):
        total_gate[j] = 0.0
    for j in range(B):
        total[j] = 0.0
    for k in range(0, K - 1, 2):
        h0, h1 = H[k], H[k + 1]
        e0, e1 = E[k], E[k + 1]
        p0, p1 = PI[k], PI[k + 1]
        r0, r1 = R[k], R[k + 1]
        for j in range(B):
            g = load(0, top_gate, j)
            m = load(0, top, j)
            a = load(0, h0, j)
            b = load(0, h1, j)
            s = vexp(_joint(a, g, load(0, e0, j)) - m)
            t = vexp(_joint(b, g, load(0, e1, j)) - m)
            a = vexp(a - g)
            b = vexp(b - g)
            store(1, p0, j, a)
            store(2, p1, j, b)
            store(3, r0, j, s)
            store(4, r1, j, t)
            store(5, total_gate, j, load(5, total_gate, j) + (a + b))
            store(6, total, j, load(6, total, j) + (s + t))
    if K % 2:
        h0, e0, p0, r0 = H[K - 1], E[K - 1], PI[K - 1], R[K - 1]
        for j in range(B):
            g = load(0, top_gate, j)
            a = load(0, h0, j)
            s = vexp(_joint(a, g, load(0, e0, j)) - load(0, top, j))
            a = vexp(a - g)
            store(1, p0, j, a)
            store(3, r0, j, s)
            store(5, total_gate, j, load(5, total_gate, j) + a)
            store(6, total, j, load(6, total, j) + s)


@jit
def _shares(
    weight: FloatArray, normalised: bool, top_gate: FloatArray, top: FloatArray, total_gate: FloatArray, row: FloatArray
) -> float:
    """What is left to multiply exponentials by: total_gate for PI, top for R; row, the total, becomes log p."""
    loglik = 0.0
    if normalised:
        for j in range(row.size):
            w = load(0, weight, j)
            t = load(1, row, j)
            g = load(2, total_gate, j)
            both = 1.0 / (t * g)  # one division for both reciprocals
            gate_share = both * t
            one = load(3, top, j) + vlog(t * gate_share)
            loglik += w * one
            store(1, row, j, one)
            store(2, total_gate, j, gate_share)
            store(3, top, j, both * g * w)
    else:
        for j in range(row.size):
            w = load(0, weight, j)
            t = load(1, row, j)
            one = (load(3, top, j) + load(0, top_gate, j)) + vlog(t)
            loglik += w * one
            store(1, row, j, one)
            store(2, total_gate, j, 0.0)
            store(3, top, j, w / t)
    return loglik


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
def _divide(
    weight: FloatArray, gate_share: FloatArray, share: FloatArray, PI: FloatArray, R: FloatArray, D: FloatArray
) -> None:
    """PI *= gate_share, R *= share, D = R - weight * PI."""
    for k in range(PI.shape[0]):
        p, r, d = PI[k], R[k], D[k]
        for j in range(weight.size):
            a = load(1, p, j) * load(0, gate_share, j)
            t = load(2, r, j) * load(0, share, j)
            store(1, p, j, a)
            store(2, r, j, t)
            store(3, d, j, t - load(0, weight, j) * a)


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
