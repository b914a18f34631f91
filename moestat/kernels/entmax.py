"""Sparse weights of a row's scores, p't + H(p) at its largest over the simplex, and what their derivatives are made of.

With Tsallis' entropy of order alpha and beta = alpha - 1 they are

    pi_k = u_k^(1 / beta),    u_k = max(1 + beta (t_k - nu), 0),    nu such that they sum to one,

so that beta h_k = log u_k for the logits h = log pi. As beta tends to zero u tends to one, and nu to log sum exp t.
Derivatives of h_k are (dt_k - M_k dbeta - dnu) / u_k with M = (1 - u + u log u) / beta^2. That is infinite at the edge
of the support, but weights c come with it that vanish like pi: what is added up is c / u.

Arrays are (K, B). Experts off the support have h = -inf, and zero everywhere else.
"""

from __future__ import annotations

from math import expm1, log, sqrt

import numpy as np

from moestat.kernels.compile import jit, jit_inline
from moestat.kernels.vmath import vexp, vlog
from moestat.typing import FloatArray

#: Below this |u - 1| differences of logarithms are summed as series; 24 terms then reach 1e-17.
NEAR_ONE = 0.2
TERMS = 24

#: Newton's steps and bisections that a row may take; some eight are usual.
MOST_STEPS = 200

#: Steps smaller than this, relative to a level above one, are rounding.
SAME_LEVEL = 4e-16


@jit
def log_weights(T: FloatArray, beta: float, H: FloatArray) -> None:
    """H = log pi of scores T, which may be -inf as long as one of each row is finite."""
    level = np.empty(T.shape[1])
    _below_largest(T, H)
    if beta == 0.0:
        _levels_of_one(H, level)
    elif beta == 1.0:
        _levels_of_two(H, level)
    elif beta == 0.5:
        _levels_of_three_halves(H, level)
    else:
        _levels_by_newton(H, beta, level)
    for k in range(H.shape[0]):
        h = H[k]
        for j in range(h.size):
            h[j] = _logit(h[j] - level[j], beta)


@jit
def _below_largest(T: FloatArray, H: FloatArray) -> None:
    """H = T less the largest score of every row."""
    K, B = T.shape
    top = np.full(B, -np.inf)
    for k in range(K):
        t = T[k]
        for j in range(B):
            top[j] = max(top[j], t[j])
    for k in range(K):
        t = T[k]
        h = H[k]
        for j in range(B):
            h[j] = t[j] - top[j]


@jit_inline
def _logit(g: float, beta: float) -> float:
    """log pi = log(1 + beta g) / beta, -inf off the support."""
    x = beta * g
    u = 1.0 + x
    log_u = vlog(max(u, 1e-300)) * (x / (u - 1.0)) if u != 1.0 else x  # log(1 + x), with what rounding took from u
    logit = log_u / beta if beta != 0.0 else g
    return logit if u > 0.0 else -np.inf


@jit
def _levels_of_one(t: FloatArray, level: FloatArray) -> None:
    """nu of softmax."""
    level[:] = 0.0
    for k in range(t.shape[0]):
        own = t[k]
        for j in range(level.size):
            level[j] += vexp(own[j])
    for j in range(level.size):
        level[j] = vlog(level[j])


@jit
def _levels_of_two(t: FloatArray, level: FloatArray) -> None:
    """nu of scores (K, B) whose largest is zero: tau is the largest (t_1 + ... + t_m - 1) / m, m scores from the top.

    Nothing is sorted: the scores that are no smaller than the k-th are the m from the top for some m, for every k.
    """
    K, B = t.shape
    count = np.empty(B)
    total = np.empty(B)
    level[:] = -1.0
    for k in range(K):
        own = t[k]
        count[:] = 0.0
        total[:] = -1.0
        for l in range(K):
            other = t[l]
            for j in range(B):
                ahead = other[j] >= own[j]
                count[j] += 1.0 if ahead else 0.0
                total[j] += other[j] if ahead else 0.0
        for j in range(B):
            level[j] = max(level[j], total[j] / count[j])
    for j in range(B):
        level[j] += 1.0


@jit
def _levels_of_three_halves(t: FloatArray, level: FloatArray) -> None:
    """The same for squares of halved scores: tau is the mean of the m from the top less a root of their spread.

    That holds for an m whose tau leaves them all on the support, and of these for the largest tau.
    """
    K, B = t.shape
    count = np.empty(B)
    total = np.empty(B)
    square = np.empty(B)
    level[:] = -1.0
    for k in range(K):
        own = t[k]
        count[:] = 0.0
        total[:] = 0.0
        square[:] = 0.0
        for l in range(K):
            other = t[l]
            for j in range(B):
                x = 0.5 * max(other[j], -4.0)  # tau is never below minus one
                ahead = other[j] >= own[j]
                count[j] += 1.0 if ahead else 0.0
                total[j] += x if ahead else 0.0
                square[j] += x * x if ahead else 0.0
        for j in range(B):
            mean = total[j] / count[j]
            left = (1.0 - square[j]) / count[j] + mean * mean
            tau = mean - sqrt(max(left, 0.0))
            level[j] = max(level[j], tau if left >= 0.0 and tau <= 0.5 * own[j] else -1.0)
    for j in range(B):
        level[j] = 2.0 * (1.0 + level[j])


@jit
def _levels_by_newton(t: FloatArray, beta: float, level: FloatArray) -> None:
    """Zeros of log sum pi, which decreases in nu, by Newton's steps inside a bracket, until no row moves."""
    K, B = t.shape
    low = np.zeros(B)  # the largest weight is one
    high = np.full(B, -expm1(-beta * log(float(K))) / beta)  # the largest weight is 1 / K
    total = np.empty(B)
    slope = np.empty(B)
    level[:] = 0.0
    for _ in range(MOST_STEPS):
        total[:] = 0.0
        slope[:] = 0.0
        for k in range(K):
            own = t[k]
            for j in range(B):
                g = own[j] - level[j]
                u = 1.0 + beta * g
                pi = vexp(_logit(g, beta))
                total[j] += pi
                slope[j] += pi / u if u > 0.0 else 0.0
        moving = 0.0
        for j in range(B):
            over = total[j] >= 1.0
            low[j] = level[j] if over else low[j]
            high[j] = high[j] if over else level[j]
            step = total[j] * vlog(max(total[j], 1e-300)) / slope[j] if total[j] > 0.0 else high[j] - low[j]
            new = level[j] + step
            new = new if low[j] <= new and new <= high[j] else 0.5 * (low[j] + high[j])
            close = abs(new - level[j]) <= SAME_LEVEL * max(1.0, level[j]) or high[j] - low[j] <= SAME_LEVEL * high[j]
            moving += 0.0 if close else 1.0
            level[j] = new
        if moving == 0.0:
            break


@jit
def slopes(H: FloatArray, beta: float, inverse: FloatArray, share: FloatArray) -> None:
    """1 / u, and shares s: dnu is sum s (dt - M dbeta)."""
    K, B = H.shape
    total = np.zeros(B)
    for k in range(K):
        for j in range(B):
            h = H[k, j]
            on = h > -np.inf
            inverse[k, j] = vexp(-beta * h) if on else 0.0
            share[k, j] = vexp((1.0 - beta) * h) if on else 0.0
            total[j] += share[k, j]
    for k in range(K):
        for j in range(B):
            share[k, j] /= total[j]


@jit
def pulled_back(H: FloatArray, beta: float, weights: FloatArray, inner: FloatArray) -> None:
    """inner = derivatives of sum_k weights_k h_k in the scores: weights / u - s sum(weights / u)."""
    K, B = H.shape
    share = np.empty((K, B))
    slopes(H, beta, inner, share)
    total = np.zeros(B)
    for k in range(K):
        for j in range(B):
            inner[k, j] *= weights[k, j]
            total[j] += inner[k, j]
    for k in range(K):
        for j in range(B):
            inner[k, j] -= share[k, j] * total[j]


@jit
def bends(
    H: FloatArray, beta: float, weights: FloatArray, inner: FloatArray, square: FloatArray, cross: FloatArray
) -> None:
    """What second derivatives of sum_k weights_k h_k are made of, given ``inner`` of `pulled_back`.

    They are sum_k square_k dh_k dh_k' + cross_k (dh_k dbeta' + dbeta dh_k') + inner_k d2(...), where the last stands
    for the second derivatives of the scores and of their likes in beta.
    """
    K, B = H.shape
    for k in range(K):
        for j in range(B):
            h = H[k, j]
            on = h > -np.inf
            b = inner[k, j] * vexp(beta * h) if on else 0.0  # weights - kappa pi
            square[k, j] = -(beta - 1.0) * b - weights[k, j] if on else 0.0
            cross[k, j] = -b * h if on else 0.0


@jit
def in_beta(H: FloatArray, beta: float, first: FloatArray, second: FloatArray) -> None:
    """How beta works on a row: as scores would with derivatives ``first`` = -M and second ones N - h M.

    With x = u - 1 and g = x / beta, M = ((1 + x) log(1 + x) - x) / beta^2 and
    N = ((2 + x) log(1 + x) - 2 x) / beta^3.
    """
    K, B = H.shape
    for k in range(K):
        for j in range(B):
            h = H[k, j]
            if h == -np.inf:
                first[k, j] = second[k, j] = 0.0
                continue
            x = expm1(beta * h)
            g = x / beta
            M, N = _near_one(x, g) if abs(x) < NEAR_ONE else _afar(x, beta * h, beta)
            first[k, j] = -M
            second[k, j] = N - h * M


@jit
def _near_one(x: float, g: float) -> tuple[float, float]:
    M = 0.0
    N = 0.0
    power = 1.0
    for n in range(2, TERMS + 2):
        M += power / (n * (n - 1))
        N += power * (n - 1) / (n * (n + 1))
        power *= -x
    return g * g * M, g * g * g * N


@jit
def _afar(x: float, log_u: float, beta: float) -> tuple[float, float]:
    return ((1.0 + x) * log_u - x) / beta**2, ((2.0 + x) * log_u - 2.0 * x) / beta**3


@jit
def centred(share: FloatArray, inverse: FloatArray, J: FloatArray) -> None:
    """J (K, P, B), derivatives of the scores, become those of the logits: (J - sum s J) / u."""
    K, P, B = J.shape
    mean = np.empty(B)
    for a in range(P):
        mean[:] = 0.0
        for k in range(K):
            s = share[k]
            x = J[k, a]
            for j in range(B):
                mean[j] += s[j] * x[j]
        for k in range(K):
            i = inverse[k]
            x = J[k, a]
            for j in range(B):
                x[j] = (x[j] - mean[j]) * i[j]


@jit
def form_weights(
    H: FloatArray,
    beta: float,
    pi: FloatArray,
    mass: FloatArray,
    gap: FloatArray,
    free: bool,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """Derivatives of Q in the scores and log beta, and minus the second ones, entry by entry of a lower triangle.

    With c = mass pi - square, of `bends`, they are sum_m c_m dh_m dh_m' less the terms in beta. In the scores dh_m is
    (e_m - s) / u_m.
    """
    K, B = H.shape
    inverse, share = np.empty((K, B)), np.empty((K, B))
    square, cross = np.empty((K, B)), np.empty((K, B))
    slopes(H, beta, inverse, share)
    pulled_back(H, beta, gap, first[:K])
    bends(H, beta, gap, first[:K], square, cross)
    for k in range(K):
        for j in range(B):
            square[k, j] = (mass[j] * pi[k, j] - square[k, j]) * inverse[k, j]
    total = np.zeros(B)
    for k in range(K):
        for j in range(B):
            total[j] += square[k, j] * inverse[k, j]
    at = 0
    for k in range(K):
        for l in range(k + 1):
            for j in range(B):
                one, other = square[k, j] * inverse[k, j], square[l, j] * inverse[l, j]
                both = total[j] * share[k, j] * share[l, j] - one * share[l, j] - other * share[k, j]
                second[at, j] = both + one if k == l else both
            at += 1
    if free:
        _form_weights_of_beta(H, beta, inverse, share, square, cross, first, second, at)


@jit
def _form_weights_of_beta(
    H: FloatArray,
    beta: float,
    inverse: FloatArray,
    share: FloatArray,
    square: FloatArray,
    cross: FloatArray,
    first: FloatArray,
    second: FloatArray,
    at: int,
) -> None:
    """The same in log beta, from entry ``at`` on; ``square`` has been divided by u."""
    K, B = H.shape
    slope, bend = np.empty((K, B)), np.empty((K, B))
    in_beta(H, beta, slope, bend)
    for j in range(B):
        mean = 0.0
        along = 0.0
        corner = 0.0
        for k in range(K):
            mean += share[k, j] * slope[k, j]
            along += first[k, j] * slope[k, j]
            corner -= first[k, j] * (beta * beta * bend[k, j] + beta * slope[k, j])
        total = 0.0
        for k in range(K):
            gap = beta * (slope[k, j] - mean)
            turn = beta * cross[k, j] * inverse[k, j]
            corner += (square[k, j] * inverse[k, j] * gap - 2.0 * turn) * gap
            second[at + k, j] = square[k, j] * inverse[k, j] * gap - turn
            total += second[at + k, j]
        for k in range(K):
            second[at + k, j] -= share[k, j] * total
        first[K, j] = beta * along
        second[at + K, j] = corner
