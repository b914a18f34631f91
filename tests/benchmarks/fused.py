"""Hand-fused softmax-Gaussian kernels: what the generic passes are measured against.

One function does everything for one gate and one expert, strip by strip, with all buffers in the level-1
cache. Parameters: gate (K, p) and coef (K, p), intercepts first, and log variances (K,).
"""

from __future__ import annotations

from math import exp, log, pi

import numpy as np

from moestat.kernels import jit, vexp, vlog

STRIP = 256
HALF_LOG_2PI = 0.5 * log(2 * pi)


@jit
def _linear(c, X, first, size, out):
    b = c[0]
    for j in range(size):
        out[j] = b
    for u in range(1, X.shape[0]):
        x = X[u, first : first + size]
        s = c[u]
        for j in range(size):
            out[j] += s * x[j]


@jit
def _responsibilities(X, y, w, first, size, gate, coef, log_variance, PI, R, E, top, total):
    """PI gate weights, R weighted responsibilities, E standardised residuals of a strip; log-likelihood."""
    K = gate.shape[0]
    z = y[first : first + size]
    weight = w[first : first + size]
    loglik = 0.0
    for k in range(K):
        p = PI[k]
        e = E[k]
        r = R[k]
        _linear(gate[k], X, first, size, p)
        _linear(coef[k], X, first, size, e)
        unit = exp(-0.5 * log_variance[k])
        top_k = -0.5 * log_variance[k] - HALF_LOG_2PI
        for j in range(size):
            e[j] = (z[j] - e[j]) * unit
        for j in range(size):
            r[j] = p[j] + top_k - 0.5 * e[j] * e[j]
    for matrix in (PI, R):
        first_row = matrix[0]
        for j in range(size):
            top[j] = first_row[j]
        for k in range(1, K):
            v = matrix[k]
            for j in range(size):
                top[j] = max(top[j], v[j])
        for j in range(size):
            total[j] = 0.0
        for k in range(K):
            v = matrix[k]
            for j in range(size):
                t = vexp(v[j] - top[j])
                v[j] = t
                total[j] += t
        sign = -1.0 if matrix is PI else 1.0
        for j in range(size):
            loglik += sign * weight[j] * (top[j] + vlog(total[j]))
        for j in range(size):
            total[j] = 1.0 / total[j]
        for k in range(K):
            v = matrix[k]
            for j in range(size):
                v[j] *= total[j]
    for k in range(K):
        r = R[k]
        for j in range(size):
            r[j] *= weight[j]
    return loglik


@jit
def score(X, Y, W, gate, coef, log_variance, gate_score, expert_score):
    """Log-likelihood and score of tiles X (T, p, B), Y (T, 1, B), W (T, B)."""
    K, p = gate.shape
    PI = np.empty((K, STRIP))
    R = np.empty((K, STRIP))
    E = np.empty((K, STRIP))
    top = np.empty(STRIP)
    total = np.empty(STRIP)
    loglik = 0.0
    for tile in range(X.shape[0]):
        B = X.shape[2]
        for first in range(0, B, STRIP):
            size = min(STRIP, B - first)
            w = W[tile]
            loglik += _responsibilities(
                X[tile], Y[tile, 0], w, first, size, gate, coef, log_variance, PI, R, E, top, total
            )
            for k in range(K):
                pk = PI[k]
                r = R[k]
                e = E[k]
                weight = w[first : first + size]
                square = 0.0
                mass = 0.0
                for j in range(size):
                    square += r[j] * e[j] * e[j]
                    mass += r[j]
                expert_score[k, p] += 0.5 * (square - mass)
                for j in range(size):
                    e[j] *= r[j]
                for j in range(size):
                    pk[j] = r[j] - weight[j] * pk[j]
                unit = exp(-0.5 * log_variance[k])
                for u in range(p):
                    x = X[tile, u, first : first + size]
                    s = 0.0
                    g = 0.0
                    for j in range(size):
                        s += e[j] * x[j]
                        g += pk[j] * x[j]
                    expert_score[k, u] += unit * s
                    gate_score[k, u] += g
    return loglik


@jit
def _add_gram(v, X, first, size, t, out):
    """out += sum_j v x x' of a strip, lower triangle packed by rows, four sums at a time."""
    at = 0
    for u in range(X.shape[0]):
        x = X[u, first : first + size]
        for j in range(size):
            t[j] = v[j] * x[j]
        c = 0
        while c + 4 <= u + 1:
            z0 = X[c, first : first + size]
            z1 = X[c + 1, first : first + size]
            z2 = X[c + 2, first : first + size]
            z3 = X[c + 3, first : first + size]
            s0 = s1 = s2 = s3 = 0.0
            for j in range(size):
                s0 += t[j] * z0[j]
                s1 += t[j] * z1[j]
                s2 += t[j] * z2[j]
                s3 += t[j] * z3[j]
            out[at] += s0
            out[at + 1] += s1
            out[at + 2] += s2
            out[at + 3] += s3
            at += 4
            c += 4
        while c <= u:
            z0 = X[c, first : first + size]
            s0 = 0.0
            for j in range(size):
                s0 += t[j] * z0[j]
            out[at] += s0
            at += 1
            c += 1


@jit
def em(X, Y, W, gate, coef, log_variance, gate_score, moments, pairs):
    """Log-likelihood and all that one EM step with one Newton step of the gate needs.

    gate_score (K, p); moments (K, n + p + 1) with n = p (p + 1) / 2: r-weighted products of features, of features and
    residuals, and of residuals; pairs (K (K - 1) / 2, n): products of features weighted by -w pi_k pi_l, l < k.
    """
    K, p = gate.shape
    n = p * (p + 1) // 2
    PI = np.empty((K, STRIP))
    R = np.empty((K, STRIP))
    E = np.empty((K, STRIP))
    top = np.empty(STRIP)
    total = np.empty(STRIP)
    v = np.empty(STRIP)
    t = np.empty(STRIP)
    loglik = 0.0
    for tile in range(X.shape[0]):
        B = X.shape[2]
        for first in range(0, B, STRIP):
            size = min(STRIP, B - first)
            w = W[tile]
            weight = w[first : first + size]
            loglik += _responsibilities(
                X[tile], Y[tile, 0], w, first, size, gate, coef, log_variance, PI, R, E, top, total
            )
            at = 0
            for k in range(K):
                pk = PI[k]
                r = R[k]
                e = E[k]
                _add_gram(r, X[tile], first, size, t, moments[k])
                sd = exp(0.5 * log_variance[k])
                square = 0.0
                for j in range(size):
                    square += r[j] * e[j] * e[j]
                moments[k, n + p] += sd * sd * square
                for j in range(size):
                    v[j] = r[j] * e[j]
                for j in range(size):
                    t[j] = r[j] - weight[j] * pk[j]
                for u in range(p):
                    x = X[tile, u, first : first + size]
                    s = 0.0
                    g = 0.0
                    for j in range(size):
                        s += v[j] * x[j]
                        g += t[j] * x[j]
                    moments[k, n + u] += sd * s
                    gate_score[k, u] += g
                for l in range(k):
                    pl = PI[l]
                    for j in range(size):
                        v[j] = -weight[j] * pk[j] * pl[j]
                    _add_gram(v, X[tile], first, size, t, pairs[at])
                    at += 1
    return loglik


@jit
def hessian(X, Y, W, gate, coef, log_variance, out):
    """Weights of all pairs of (logit, mean, log variance) predictors times feature products.

    out (3K, 3K, p, p), lower pairs and lower triangles; unit weights only.
    """
    K, p = gate.shape
    PI = np.empty((K, STRIP))
    R = np.empty((K, STRIP))
    E = np.empty((K, STRIP))
    S = np.empty((3 * K, STRIP))
    top = np.empty(STRIP)
    total = np.empty(STRIP)
    v = np.empty(STRIP)
    t = np.empty(STRIP)
    loglik = 0.0
    for tile in range(X.shape[0]):
        B = X.shape[2]
        for first in range(0, B, STRIP):
            size = min(STRIP, B - first)
            loglik += _responsibilities(
                X[tile], Y[tile, 0], W[tile], first, size, gate, coef, log_variance, PI, R, E, top, total
            )
            for k in range(K):
                r = R[k]
                e = E[k]
                unit = exp(-0.5 * log_variance[k])
                s0 = S[k]
                s1 = S[K + k]
                s2 = S[2 * K + k]
                for j in range(size):
                    s0[j] = r[j]
                for j in range(size):
                    s1[j] = r[j] * e[j] * unit
                for j in range(size):
                    s2[j] = 0.5 * r[j] * (e[j] * e[j] - 1.0)
            for a in range(3 * K):
                ka = a % K
                ta = a // K
                sa = S[a]
                for b in range(a + 1):
                    kb = b % K
                    tb = b // K
                    sb = S[b]
                    for j in range(size):
                        v[j] = -sa[j] * sb[j]
                    if ta == 0:
                        pa = PI[ka]
                        pb = PI[kb]
                        for j in range(size):
                            v[j] += pa[j] * pb[j]
                    if ka == kb:
                        r = R[ka]
                        e = E[ka]
                        u2 = exp(-log_variance[ka])
                        u1 = exp(-0.5 * log_variance[ka])
                        if ta == 0:
                            pa = PI[ka]
                            for j in range(size):
                                v[j] += r[j] - pa[j]
                        elif tb == 0:
                            for j in range(size):
                                v[j] += sa[j]
                        elif ta == 1:
                            for j in range(size):
                                v[j] += r[j] * u2 * (e[j] * e[j] - 1.0)
                        elif tb == 1:
                            for j in range(size):
                                v[j] += 0.5 * r[j] * e[j] * u1 * (e[j] * e[j] - 3.0)
                        else:
                            for j in range(size):
                                q = e[j] * e[j]
                                v[j] += r[j] * (0.25 * (q - 1.0) * (q - 1.0) - 0.5 * q)
                    rows = 1 if ta == 2 else p
                    columns = 1 if tb == 2 else p
                    for c in range(max(rows, columns)):
                        x = X[tile, c, first : first + size]
                        for j in range(size):
                            t[j] = v[j] * x[j]
                        for d in range(c + 1 if rows == columns else 1):
                            z = X[tile, d, first : first + size]
                            s = 0.0
                            for j in range(size):
                                s += t[j] * z[j]
                            out[a, b, c, d] += s
    return loglik


def assemble(blocks, K, p):
    """Hessian (P, P) in the order (gate, coef, log variance) of the blocks that `hessian` sums."""
    size = [p] * (2 * K) + [1] * K
    start = np.concatenate([[0], np.cumsum(size)])
    out = np.zeros((start[-1], start[-1]))
    for a in range(3 * K):
        for b in range(a + 1):
            block = blocks[a, b]
            if size[a] == size[b]:
                block = block[: size[a], : size[b]]
                block = np.tril(block) + np.tril(block, -1).T
            else:
                block = block[:, 0][None]
            out[start[a] : start[a + 1], start[b] : start[b + 1]] = block
            out[start[b] : start[b + 1], start[a] : start[a + 1]] = block.T
    return out
