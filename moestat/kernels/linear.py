"""Linear predictors, their transposes, and register-tiled products of row blocks."""

from __future__ import annotations

from moestat.kernels.compile import jit
from moestat.typing import FloatArray

#: Columns of a strip in the tiled products: long enough for the sums, short enough for the cache.
STRIP = 512


@jit
def linear_predictor(coef: FloatArray, F: FloatArray, out: FloatArray) -> None:
    """out[k] = sum_u coef[k, u] F[u].   coef (K, p), F (p, B), out (K, B)."""
    p, B = F.shape
    for k in range(coef.shape[0]):
        o = out[k]
        c = coef[k]
        u = 1
        x = F[0]
        c0 = c[0]
        for j in range(B):
            o[j] = c0 * x[j]
        while u + 4 <= p:
            x0 = F[u]
            x1 = F[u + 1]
            x2 = F[u + 2]
            x3 = F[u + 3]
            c0 = c[u]
            c1 = c[u + 1]
            c2 = c[u + 2]
            c3 = c[u + 3]
            for j in range(B):
                o[j] += c0 * x0[j] + c1 * x1[j] + c2 * x2[j] + c3 * x3[j]
            u += 4
        while u < p:
            x = F[u]
            c0 = c[u]
            for j in range(B):
                o[j] += c0 * x[j]
            u += 1


@jit
def row_dots(w: FloatArray, F: FloatArray, out: FloatArray) -> None:
    """out[u] += sum_j w[j] F[u, j].   w (B,), F (p, B), out (p,)."""
    p, B = F.shape
    u = 0
    while u + 4 <= p:
        x0 = F[u]
        x1 = F[u + 1]
        x2 = F[u + 2]
        x3 = F[u + 3]
        s0 = 0.0
        s1 = 0.0
        s2 = 0.0
        s3 = 0.0
        for j in range(B):
            t = w[j]
            s0 += t * x0[j]
            s1 += t * x1[j]
            s2 += t * x2[j]
            s3 += t * x3[j]
        out[u] += s0
        out[u + 1] += s1
        out[u + 2] += s2
        out[u + 3] += s3
        u += 4
    while u < p:
        x0 = F[u]
        s0 = 0.0
        for j in range(B):
            s0 += w[j] * x0[j]
        out[u] += s0
        u += 1


@jit
def pull_linear(weights: FloatArray, F: FloatArray, out: FloatArray) -> None:
    """out[k, u] += sum_j weights[k, j] F[u, j]: the score of a map that is linear in its parameters."""
    for k in range(weights.shape[0]):
        row_dots(weights[k], F, out[k])


@jit
def contract(weights: FloatArray, J: FloatArray, out: FloatArray) -> None:
    """out[k, a] += sum_j weights[k, j] J[k, a, j].   J (K, q, B), or (1, q, B) when all experts share it."""
    shared = J.shape[0] == 1
    for k in range(weights.shape[0]):
        row_dots(weights[k], J[0 if shared else k], out[k])


@jit
def _tile(A: FloatArray, a: int, C: FloatArray, c: int, first: int, last: int, out: FloatArray, i: int, l: int) -> None:
    """out[i:i+4, l:l+4] += A[a:a+4] C[c:c+4]' over columns first to last, sixteen sums held in registers."""
    a0 = A[a, first:last]
    a1 = A[a + 1, first:last]
    a2 = A[a + 2, first:last]
    a3 = A[a + 3, first:last]
    c0 = C[c, first:last]
    c1 = C[c + 1, first:last]
    c2 = C[c + 2, first:last]
    c3 = C[c + 3, first:last]
    s00 = s01 = s02 = s03 = 0.0
    s10 = s11 = s12 = s13 = 0.0
    s20 = s21 = s22 = s23 = 0.0
    s30 = s31 = s32 = s33 = 0.0
    for j in range(last - first):
        x0 = a0[j]
        x1 = a1[j]
        x2 = a2[j]
        x3 = a3[j]
        y0 = c0[j]
        y1 = c1[j]
        y2 = c2[j]
        y3 = c3[j]
        s00 += x0 * y0
        s01 += x0 * y1
        s02 += x0 * y2
        s03 += x0 * y3
        s10 += x1 * y0
        s11 += x1 * y1
        s12 += x1 * y2
        s13 += x1 * y3
        s20 += x2 * y0
        s21 += x2 * y1
        s22 += x2 * y2
        s23 += x2 * y3
        s30 += x3 * y0
        s31 += x3 * y1
        s32 += x3 * y2
        s33 += x3 * y3
    out[i, l] += s00
    out[i, l + 1] += s01
    out[i, l + 2] += s02
    out[i, l + 3] += s03
    out[i + 1, l] += s10
    out[i + 1, l + 1] += s11
    out[i + 1, l + 2] += s12
    out[i + 1, l + 3] += s13
    out[i + 2, l] += s20
    out[i + 2, l + 1] += s21
    out[i + 2, l + 2] += s22
    out[i + 2, l + 3] += s23
    out[i + 3, l] += s30
    out[i + 3, l + 1] += s31
    out[i + 3, l + 2] += s32
    out[i + 3, l + 3] += s33


@jit
def _half_tile(A: FloatArray, a: int, C: FloatArray, c: int, first: int, last: int, out: FloatArray) -> None:
    """out[a:a+2, c:c+4] += A[a:a+2] C[c:c+4]' over columns first to last: half a tile at half its price."""
    a0 = A[a, first:last]
    a1 = A[a + 1, first:last]
    c0 = C[c, first:last]
    c1 = C[c + 1, first:last]
    c2 = C[c + 2, first:last]
    c3 = C[c + 3, first:last]
    s00 = s01 = s02 = s03 = 0.0
    s10 = s11 = s12 = s13 = 0.0
    for j in range(last - first):
        x0 = a0[j]
        x1 = a1[j]
        y0 = c0[j]
        y1 = c1[j]
        y2 = c2[j]
        y3 = c3[j]
        s00 += x0 * y0
        s01 += x0 * y1
        s02 += x0 * y2
        s03 += x0 * y3
        s10 += x1 * y0
        s11 += x1 * y1
        s12 += x1 * y2
        s13 += x1 * y3
    out[a, c] += s00
    out[a, c + 1] += s01
    out[a, c + 2] += s02
    out[a, c + 3] += s03
    out[a + 1, c] += s10
    out[a + 1, c + 1] += s11
    out[a + 1, c + 2] += s12
    out[a + 1, c + 3] += s13


@jit
def add_leading_products(A: FloatArray, rows: int, C: FloatArray, out: FloatArray) -> None:
    """As `add_products`, where only the first ``rows`` rows of A count."""
    left = rows % 4
    whole = rows if left == 0 else (rows - left if left <= 2 else rows + 1)
    for first in range(0, A.shape[1], STRIP):
        last = min(first + STRIP, A.shape[1])
        for i in range(0, whole, 4):
            for l in range(0, C.shape[0], 4):
                _tile(A, i, C, l, first, last, out, i, l)
        if whole < rows:
            for l in range(0, C.shape[0], 4):
                _half_tile(A, whole, C, l, first, last, out)


@jit
def add_products(A: FloatArray, C: FloatArray, out: FloatArray) -> None:
    """out += A C' by 4 x 4 tiles.   A (a, B), C (c, B), out (a, c); a and c multiples of 4."""
    add_row_products(A, C, 0, out)


@jit
def add_row_products(A: FloatArray, C: FloatArray, row: int, out: FloatArray) -> None:
    """out += A C[row:row+c]' by 4 x 4 tiles, where out is (a, c), both multiples of 4; C needs row + c rows."""
    for first in range(0, A.shape[1], STRIP):
        last = min(first + STRIP, A.shape[1])
        for i in range(0, out.shape[0], 4):
            for l in range(0, out.shape[1], 4):
                _tile(A, i, C, row + l, first, last, out, i, l)


@jit
def add_lower_products(A: FloatArray, C: FloatArray, out: FloatArray) -> None:
    """As `add_products` for A and C with equally many rows, only tiles on and below the diagonal."""
    add_lower_row_products(A, C, 0, out)


@jit
def add_lower_row_products(A: FloatArray, C: FloatArray, row: int, out: FloatArray) -> None:
    """As `add_row_products` for a square ``out``, only tiles on and below the diagonal."""
    for first in range(0, A.shape[1], STRIP):
        last = min(first + STRIP, A.shape[1])
        for i in range(0, out.shape[0], 4):
            for l in range(0, i + 4, 4):
                _tile(A, i, C, row + l, first, last, out, i, l)


@jit
def feature_products(F: FloatArray, first: int, last: int, out: FloatArray) -> None:
    """out rows: F[u] F[v] for v <= u over the columns first to last; F (p, B).

    Rows follow the order (0,0), (1,0), (1,1), (2,0), ...; out is at least (p (p + 1) / 2, last - first).
    """
    row = 0
    for u in range(F.shape[0]):
        x = F[u, first:last]
        for v in range(u + 1):
            y = F[v, first:last]
            o = out[row]
            for j in range(x.size):
                o[j] = x[j] * y[j]
            row += 1


@jit
def weighted_gram(w: FloatArray, F: FloatArray, scale: float, first: int, out: FloatArray) -> None:
    """out[first+u, first+v] += scale sum_j w[j] F[u, j] F[v, j], both triangles.   F (p, B), out (q, q)."""
    p, B = F.shape
    for u in range(p):
        x = F[u]
        for v in range(u + 1):
            y = F[v]
            s = 0.0
            for j in range(B):
                s += w[j] * x[j] * y[j]
            out[first + u, first + v] += scale * s
            if v != u:
                out[first + v, first + u] += scale * s
