"""Normal densities of several responses about linear predictors, row by row.

    u = L^{-1} (y - B F),   log N(y; B F, L L') = - (m log 2 pi + |u|^2) / 2 - sum_i log L_ii

for responses y (m, B), features F (p, B), coefficients B (m, p) and a lower triangular factor L (m, m).
"""

from __future__ import annotations

from math import log, pi

import numpy as np

from moestat.kernels.compile import jit
from moestat.kernels.linear import linear_predictor, row_dots
from moestat.typing import FloatArray

HALF_LOG_2PI = 0.5 * log(2 * pi)


@jit
def whiten(coef: FloatArray, L: FloatArray, F: FloatArray, Y: FloatArray, U: FloatArray) -> None:
    """U = L^{-1} (Y - coef F) by forward substitution."""
    m, B = Y.shape
    linear_predictor(coef, F, U)
    for i in range(m):
        u = U[i]
        y = Y[i]
        for j in range(B):
            u[j] = y[j] - u[j]
        for l in range(i):
            t = L[i, l]
            v = U[l]
            for j in range(B):
                u[j] -= t * v[j]
        t = 1.0 / L[i, i]
        for j in range(B):
            u[j] *= t


@jit
def log_densities(coef: FloatArray, L: FloatArray, F: FloatArray, Y: FloatArray, out: FloatArray) -> None:
    """out (K, B) receives the log densities of K laws, coef (K, m, p) and L (K, m, m)."""
    m, B = Y.shape
    U = np.empty((m, B))
    for k in range(out.shape[0]):
        whiten(coef[k], L[k], F, Y, U)
        top = 0.0
        for i in range(m):
            top -= HALF_LOG_2PI + log(L[k, i, i])
        o = out[k]
        for j in range(B):
            o[j] = top
        for i in range(m):
            u = U[i]
            for j in range(B):
                o[j] -= 0.5 * u[j] * u[j]


@jit
def jacobian(
    coef: FloatArray, L: FloatArray, inverse: FloatArray, F: FloatArray, Y: FloatArray, U: FloatArray, out: FloatArray
) -> None:
    """out (m p + m (m + 1) / 2, B): derivatives in the coefficients, response by response, then in L by rows.

    Those of the diagonal are in log L_ii.   ``inverse`` is L^{-1}; U (m, B) is scratch.
    """
    p, B = F.shape
    m = Y.shape[0]
    whiten(coef, L, F, Y, U)
    at = m * p
    for i in range(m):
        # w_i, row i of L^{-T} u, goes where the derivative of the intercept belongs
        w = out[i * p]
        for j in range(B):
            w[j] = inverse[i, i] * U[i, j]
        for l in range(i + 1, m):
            t = inverse[l, i]
            u = U[l]
            for j in range(B):
                w[j] += t * u[j]
        for l in range(i + 1):
            o = out[at + l]
            u = U[l]
            if l == i:
                t = L[i, i]
                for j in range(B):
                    o[j] = t * w[j] * u[j] - 1.0
            else:
                for j in range(B):
                    o[j] = w[j] * u[j]
        at += i + 1
        for a in range(1, p):
            o = out[i * p + a]
            x = F[a]
            for j in range(B):
                o[j] = w[j] * x[j]


@jit
def moments(
    coef: FloatArray,
    L: FloatArray,
    F: FloatArray,
    Y: FloatArray,
    weights: FloatArray,
    cross: FloatArray,
    square: FloatArray,
) -> None:
    """Add sum w u F' of K laws to cross (K, m, p), and sum w u u' to square (K, m, m); weights (K, B)."""
    m, B = Y.shape
    U = np.empty((2 * m, B))
    for k in range(weights.shape[0]):
        whiten(coef[k], L[k], F, Y, U[:m])
        w = weights[k]
        for i in range(m):
            u = U[i]
            o = U[m + i]
            for j in range(B):
                o[j] = w[j] * u[j]
        for i in range(m):
            row_dots(U[m + i], F, cross[k, i])
            row_dots(U[m + i], U[: i + 1], square[k, i, : i + 1])
            for l in range(i):
                square[k, l, i] = square[k, i, l]


@jit
def slopes(L: FloatArray, cross: FloatArray, square: FloatArray, mass: FloatArray, out: FloatArray) -> None:
    """out (K, m p + m (m + 1) / 2): derivatives as in `jacobian`, of the sums of K laws.

    cross (K, m, p) and square (K, m, m) become L^{-T} cross and L^{-T} square; mass (K,).
    """
    for k in range(out.shape[0]):
        _slopes(L[k], cross[k], square[k], mass[k], out[k])


@jit
def _slopes(L: FloatArray, cross: FloatArray, square: FloatArray, mass: float, out: FloatArray) -> None:
    m, p = cross.shape
    for i in range(m - 1, -1, -1):
        for a in range(p):
            for l in range(i + 1, m):
                cross[i, a] -= L[l, i] * cross[l, a]
            cross[i, a] /= L[i, i]
            out[i * p + a] = cross[i, a]
        for a in range(m):
            for l in range(i + 1, m):
                square[i, a] -= L[l, i] * square[l, a]
            square[i, a] /= L[i, i]
    at = m * p
    for i in range(m):
        for l in range(i):
            out[at + l] = square[i, l]
        out[at + i] = L[i, i] * square[i, i] - mass
        at += i + 1
