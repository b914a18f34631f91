"""Linear predictors, their transposes, and register-tiled products of row blocks."""

from __future__ import annotations

import numpy as np

from moestat.kernels.compile import jit
from moestat.kernels.disjoint import load, store
from moestat.typing import FloatArray

#: Columns of a strip in the tiled products: long enough for the sums, short enough for the cache.
STRIP = 1024

#: Features whose products are formed in registers; with more, tiles of scaled features take fewer operations.
FEW = 8

#: Features beyond which the cache has no room for their products.
MANY = 40


@jit
def linear_predictor(coef: FloatArray, F: FloatArray, out: FloatArray) -> None:
    """out[k] = sum_u coef[k, u] F[u].   coef (K, p), F (p, B), out (K, B)."""
    B = F.shape[1]
    for first in range(0, B, STRIP):
        last = min(first + STRIP, B)
        predict(coef, F, first, last, out, first)


@jit
def predict(coef: FloatArray, F: FloatArray, first: int, last: int, out: FloatArray, at: int) -> None:
    """The same for the columns first to last alone, written to the columns of ``out`` that begin ``at``.

    Four features at a time, for two experts: a feature that is loaded is used twice.
    """
    p = F.shape[0]
    K = coef.shape[0]
    head = (p - 1) % 4 + 1
    for k in range(0, K - 1, 2):
        o0 = out[k, at : at + last - first]
        o1 = out[k + 1, at : at + last - first]
        _begin_two(coef[k], coef[k + 1], F, head, first, last, o0, o1)
        for u in range(head, p, 4):
            _add_two(coef[k], coef[k + 1], F, u, first, last, o0, o1)
    if K % 2:
        o0 = out[K - 1, at : at + last - first]
        _begin_one(coef[K - 1], F, head, first, last, o0)
        for u in range(head, p, 4):
            _add_one(coef[K - 1], F, u, first, last, o0)


@jit
def _begin_one(c: FloatArray, F: FloatArray, head: int, first: int, last: int, out: FloatArray) -> None:
    """out = c[:head]' F[:head] over the columns first to last, for a head of one to four features."""
    a0 = c[0]
    a1 = c[1] if head > 1 else 0.0
    x0 = F[0, first:last]
    x1 = F[min(1, head - 1), first:last]
    if head <= 2:
        for j in range(last - first):
            store(1, out, j, a0 * load(0, x0, j) + a1 * load(0, x1, j))
    else:
        a2 = c[2]
        a3 = c[3] if head > 3 else 0.0
        x2 = F[2, first:last]
        x3 = F[min(3, head - 1), first:last]
        for j in range(last - first):
            store(1, out, j, a0 * load(0, x0, j) + a1 * load(0, x1, j) + a2 * load(0, x2, j) + a3 * load(0, x3, j))


@jit
def _begin_two(
    c: FloatArray, d: FloatArray, F: FloatArray, head: int, first: int, last: int, out: FloatArray, other: FloatArray
) -> None:
    """`_begin_one` for two experts."""
    a0 = c[0]
    a1 = c[1] if head > 1 else 0.0
    b0 = d[0]
    b1 = d[1] if head > 1 else 0.0
    x0 = F[0, first:last]
    x1 = F[min(1, head - 1), first:last]
    if head <= 2:
        for j in range(last - first):
            y0 = load(0, x0, j)
            y1 = load(0, x1, j)
            store(1, out, j, a0 * y0 + a1 * y1)
            store(2, other, j, b0 * y0 + b1 * y1)
    else:
        a2 = c[2]
        a3 = c[3] if head > 3 else 0.0
        b2 = d[2]
        b3 = d[3] if head > 3 else 0.0
        x2 = F[2, first:last]
        x3 = F[min(3, head - 1), first:last]
        for j in range(last - first):
            y0 = load(0, x0, j)
            y1 = load(0, x1, j)
            y2 = load(0, x2, j)
            y3 = load(0, x3, j)
            store(1, out, j, a0 * y0 + a1 * y1 + a2 * y2 + a3 * y3)
            store(2, other, j, b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3)


@jit
def _add_one(c: FloatArray, F: FloatArray, u: int, first: int, last: int, out: FloatArray) -> None:
    """out += c[u:u+4]' F[u:u+4] over the columns first to last."""
    x0 = F[u, first:last]
    x1 = F[u + 1, first:last]
    x2 = F[u + 2, first:last]
    x3 = F[u + 3, first:last]
    a0 = c[u]
    a1 = c[u + 1]
    a2 = c[u + 2]
    a3 = c[u + 3]
    for j in range(last - first):
        t = a0 * load(0, x0, j) + a1 * load(0, x1, j) + a2 * load(0, x2, j) + a3 * load(0, x3, j)
        store(1, out, j, load(1, out, j) + t)


@jit
def _add_two(
    c: FloatArray, d: FloatArray, F: FloatArray, u: int, first: int, last: int, out: FloatArray, other: FloatArray
) -> None:
    """`_add_one` for two experts."""
    x0 = F[u, first:last]
    x1 = F[u + 1, first:last]
    x2 = F[u + 2, first:last]
    x3 = F[u + 3, first:last]
    a0 = c[u]
    a1 = c[u + 1]
    a2 = c[u + 2]
    a3 = c[u + 3]
    b0 = d[u]
    b1 = d[u + 1]
    b2 = d[u + 2]
    b3 = d[u + 3]
    for j in range(last - first):
        y0 = load(0, x0, j)
        y1 = load(0, x1, j)
        y2 = load(0, x2, j)
        y3 = load(0, x3, j)
        store(1, out, j, load(1, out, j) + (a0 * y0 + a1 * y1 + a2 * y2 + a3 * y3))
        store(2, other, j, load(2, other, j) + (b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3))


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
    K = weights.shape[0]
    p, B = F.shape
    sums = np.zeros(((K + 3) // 4 * 4, (p + 3) // 4 * 4))
    for first in range(0, B, STRIP):
        add_dots(weights, K, first, F, first, min(first + STRIP, B), sums)
    for k in range(K):
        for u in range(p):
            out[k, u] += sums[k, u]


@jit
def add_dots(W: FloatArray, rows: int, at: int, F: FloatArray, first: int, last: int, out: FloatArray) -> None:
    """out += W[:rows] F' over the columns first to last of F, and those of W that begin ``at``.

    out is padded to multiples of four, W and F need not be.
    """
    left = rows % 4
    whole = rows if left == 0 else (rows - left if left <= 2 else rows + 1)
    for l in range(0, F.shape[0], 4):
        for i in range(0, whole, 4):
            _tile(W, i, at, F, l, first, last, out, i, l)
        if whole < rows:
            _half_tile(W, whole, at, F, l, first, last, out, whole)


@jit
def contract(weights: FloatArray, J: FloatArray, out: FloatArray) -> None:
    """out[k, a] += sum_j weights[k, j] J[k, a, j].   J (K, q, B), or (1, q, B) when all experts share it."""
    shared = J.shape[0] == 1
    for k in range(weights.shape[0]):
        row_dots(weights[k], J[0 if shared else k], out[k])


@jit
def _tile(
    A: FloatArray, a: int, at: int, C: FloatArray, c: int, first: int, last: int, out: FloatArray, i: int, l: int
) -> None:
    """out[i:i+4, l:l+4] += A[a:a+4] C[c:c+4]' over columns first to last, sixteen sums held in registers.

    Columns of A begin ``at``. Rows that A or C does not have are the last one again; what they add means nothing.
    """
    end = A.shape[0] - 1
    a0 = A[a, at : at + last - first]
    a1 = A[min(a + 1, end), at : at + last - first]
    a2 = A[min(a + 2, end), at : at + last - first]
    a3 = A[min(a + 3, end), at : at + last - first]
    end = C.shape[0] - 1
    c0 = C[c, first:last]
    c1 = C[min(c + 1, end), first:last]
    c2 = C[min(c + 2, end), first:last]
    c3 = C[min(c + 3, end), first:last]
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
    _add_four(out[i], l, s00, s01, s02, s03)
    _add_four(out[i + 1], l, s10, s11, s12, s13)
    _add_four(out[i + 2], l, s20, s21, s22, s23)
    _add_four(out[i + 3], l, s30, s31, s32, s33)


@jit
def _half_tile(
    A: FloatArray, a: int, at: int, C: FloatArray, c: int, first: int, last: int, out: FloatArray, i: int
) -> None:
    """out[i:i+2, c:c+4] += A[a:a+2] C[c:c+4]' over columns first to last: half a tile at half its price."""
    a0 = A[a, at : at + last - first]
    a1 = A[min(a + 1, A.shape[0] - 1), at : at + last - first]
    end = C.shape[0] - 1
    c0 = C[c, first:last]
    c1 = C[min(c + 1, end), first:last]
    c2 = C[min(c + 2, end), first:last]
    c3 = C[min(c + 3, end), first:last]
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
    _add_four(out[i], c, s00, s01, s02, s03)
    _add_four(out[i + 1], c, s10, s11, s12, s13)


@jit
def add_leading_products(A: FloatArray, rows: int, C: FloatArray, out: FloatArray) -> None:
    """As `add_products`, where only the first ``rows`` rows of A count."""
    for first in range(0, A.shape[1], STRIP):
        add_dots(A, rows, first, C, first, min(first + STRIP, A.shape[1]), out)


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
                _tile(A, i, first, C, row + l, first, last, out, i, l)


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
                _tile(A, i, first, C, row + l, first, last, out, i, l)


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
def add_weighted_features(
    W: FloatArray, row: int, rows: int, at: int, F: FloatArray, first: int, last: int, out: FloatArray, i: int
) -> None:
    """out[i:i+rows] += sums of W[row:row+rows] times F[u] F[v], v <= u, over the columns first to last of F.

    There are up to four rows, whose columns begin ``at``. Products of features come in the order of
    `feature_products`, and are formed in registers: each is needed once for four rows, and they are many. Columns of
    ``out`` are padded to a multiple of four, and its rows to two or to four: what is added there means nothing.
    """
    q = F.shape[0]
    x0 = x1 = x2 = x3 = 0
    y0 = y1 = y2 = y3 = 0
    u = 0
    v = 0
    for c in range(0, q * (q + 1) // 2, 4):
        x0, y0 = u, v
        u, v = _next_pair(u, v, q)
        x1, y1 = u, v
        u, v = _next_pair(u, v, q)
        x2, y2 = u, v
        u, v = _next_pair(u, v, q)
        x3, y3 = u, v
        u, v = _next_pair(u, v, q)
        if rows > 2:
            _feature_tile(W, row, at, F, x0, y0, x1, y1, x2, y2, x3, y3, first, last, out, i, c)
        else:
            _half_feature_tile(W, row, at, F, x0, y0, x1, y1, x2, y2, x3, y3, first, last, out, i, c)


@jit
def _next_pair(u: int, v: int, q: int) -> tuple[int, int]:
    """The pair after (u, v) among v <= u < q, and the last one after itself."""
    if v < u:
        return u, v + 1
    return (u + 1, 0) if u + 1 < q else (u, v)


@jit
def _feature_tile(
    A: FloatArray,
    a: int,
    at: int,
    F: FloatArray,
    u0: int,
    v0: int,
    u1: int,
    v1: int,
    u2: int,
    v2: int,
    u3: int,
    v3: int,
    first: int,
    last: int,
    out: FloatArray,
    i: int,
    l: int,
) -> None:
    """`_tile` with the products F[u] F[v] of four pairs in the place of C."""
    end = A.shape[0] - 1
    a0 = A[a, at : at + last - first]
    a1 = A[min(a + 1, end), at : at + last - first]
    a2 = A[min(a + 2, end), at : at + last - first]
    a3 = A[min(a + 3, end), at : at + last - first]
    f0 = F[u0, first:last]
    f1 = F[u1, first:last]
    f2 = F[u2, first:last]
    f3 = F[u3, first:last]
    g0 = F[v0, first:last]
    g1 = F[v1, first:last]
    g2 = F[v2, first:last]
    g3 = F[v3, first:last]
    s00 = s01 = s02 = s03 = 0.0
    s10 = s11 = s12 = s13 = 0.0
    s20 = s21 = s22 = s23 = 0.0
    s30 = s31 = s32 = s33 = 0.0
    for j in range(last - first):
        x0 = a0[j]
        x1 = a1[j]
        x2 = a2[j]
        x3 = a3[j]
        y0 = f0[j] * g0[j]
        y1 = f1[j] * g1[j]
        y2 = f2[j] * g2[j]
        y3 = f3[j] * g3[j]
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
    _add_four(out[i], l, s00, s01, s02, s03)
    _add_four(out[i + 1], l, s10, s11, s12, s13)
    _add_four(out[i + 2], l, s20, s21, s22, s23)
    _add_four(out[i + 3], l, s30, s31, s32, s33)


@jit
def _half_feature_tile(
    A: FloatArray,
    a: int,
    at: int,
    F: FloatArray,
    u0: int,
    v0: int,
    u1: int,
    v1: int,
    u2: int,
    v2: int,
    u3: int,
    v3: int,
    first: int,
    last: int,
    out: FloatArray,
    i: int,
    l: int,
) -> None:
    """The same for two rows."""
    a0 = A[a, at : at + last - first]
    a1 = A[min(a + 1, A.shape[0] - 1), at : at + last - first]
    f0 = F[u0, first:last]
    f1 = F[u1, first:last]
    f2 = F[u2, first:last]
    f3 = F[u3, first:last]
    g0 = F[v0, first:last]
    g1 = F[v1, first:last]
    g2 = F[v2, first:last]
    g3 = F[v3, first:last]
    s00 = s01 = s02 = s03 = 0.0
    s10 = s11 = s12 = s13 = 0.0
    for j in range(last - first):
        x0 = a0[j]
        x1 = a1[j]
        y0 = f0[j] * g0[j]
        y1 = f1[j] * g1[j]
        y2 = f2[j] * g2[j]
        y3 = f3[j] * g3[j]
        s00 += x0 * y0
        s01 += x0 * y1
        s02 += x0 * y2
        s03 += x0 * y3
        s10 += x1 * y0
        s11 += x1 * y1
        s12 += x1 * y2
        s13 += x1 * y3
    _add_four(out[i], l, s00, s01, s02, s03)
    _add_four(out[i + 1], l, s10, s11, s12, s13)


@jit
def _add_four(out: FloatArray, l: int, s0: float, s1: float, s2: float, s3: float) -> None:
    out[l] += s0
    out[l + 1] += s1
    out[l + 2] += s2
    out[l + 3] += s3


@jit
def add_weighted_products(W: FloatArray, F: FloatArray, out: FloatArray) -> None:
    """out[i] += sum_j W[i, j] F[u, j] F[v, j] for v <= u, in the order of `feature_products`.

    out has rows and columns padded to multiples of four.
    """
    n, B = W.shape
    products = products_for(F, n)
    strip = products.shape[1]
    for first in range(0, B, strip):
        last = min(first + strip, B)
        form_products(F, first, last, products)
        for row in range(0, n, 4):
            add_group(W, row, min(4, n - row), first, F, products, first, last, out, row)


@jit
def products_for(F: FloatArray, n: int) -> FloatArray:
    """Room for products of features over a strip of columns, to be multiplied by n rows of weights in groups of four.

    Few features are loaded for each group, and their products formed in registers: then there are no rows. More are
    formed once, on a strip that leaves them in the cache. Of so many that no strip would, features are scaled by each
    row of weights in turn, and the room is for those.
    """
    q, B = F.shape
    if q <= FEW:
        return np.empty((0, min(B, STRIP)))
    if q > MANY:
        return np.empty((q, min(B, STRIP // 2)))
    if n <= 8:
        return np.empty((0, min(B, STRIP // 2)))
    return np.zeros(((q * (q + 1) // 2 + 3) // 4 * 4, min(B, STRIP // 4)))


@jit
def form_products(F: FloatArray, first: int, last: int, room: FloatArray) -> None:
    """Fill the room of `products_for`, where it is for products."""
    if room.shape[0] > F.shape[0]:
        feature_products(F, first, last, room)


@jit
def add_group(
    W: FloatArray,
    row: int,
    rows: int,
    at: int,
    F: FloatArray,
    products: FloatArray,
    first: int,
    last: int,
    out: FloatArray,
    i: int,
) -> None:
    """`add_weighted_features`, with the products that are formed, if there are any."""
    if not products.shape[0]:
        add_weighted_features(W, row, rows, at, F, first, last, out, i)
        return
    if products.shape[0] == F.shape[0]:
        for k in range(rows):
            _add_gram(W[row + k, at : at + last - first], F, first, last, products, out[i + k])
        return
    for c in range(0, products.shape[0], 4):
        if rows > 2:
            _tile(W, row, at, products, c, 0, last - first, out, i, c)
        else:
            _half_tile(W, row, at, products, c, 0, last - first, out, i)


@jit
def _add_gram(w: FloatArray, F: FloatArray, first: int, last: int, scaled: FloatArray, out: FloatArray) -> None:
    """out += sums of w F[u] F[v] for v <= u over the columns first to last, which w and ``scaled`` are of."""
    q = F.shape[0]
    size = last - first
    sums = np.zeros(((q + 3) // 4 * 4, (q + 3) // 4 * 4))
    for u in range(q):
        x = F[u, first:last]
        o = scaled[u]
        for j in range(size):
            store(1, o, j, load(0, w, j) * load(0, x, j))
    for u in range(0, q, 4):
        for v in range(0, u + 4, 4):
            _tile(scaled, u, 0, F, v, first, last, sums, u, v)
    at = 0
    for u in range(q):
        for v in range(u + 1):
            out[at] += sums[u, v]
            at += 1


@jit
def weighted_gram(w: FloatArray, F: FloatArray, scale: float, first: int, out: FloatArray) -> None:
    """out[first+u, first+v] += scale sum_j w[j] F[u, j] F[v, j], both triangles.   F (p, B), out (q, q)."""
    p, B = F.shape
    packed = np.zeros((2, (p * (p + 1) // 2 + 3) // 4 * 4))
    if p <= FEW:
        add_weighted_products(w.reshape(1, B), F, packed)
    else:
        scaled = np.empty((p, min(B, STRIP // 2)))
        for begin in range(0, B, STRIP // 2):
            end = min(begin + STRIP // 2, B)
            _add_gram(w[begin:end], F, begin, end, scaled, packed[0])
    unpack_lower(packed[0], p, scale, first, out)


@jit
def unpack_lower(packed: FloatArray, p: int, scale: float, first: int, out: FloatArray) -> None:
    """out[first+u, first+v] += scale * packed for the pairs (0,0), (1,0), (1,1), ... below p, both triangles."""
    at = 0
    for u in range(p):
        for v in range(u + 1):
            out[first + u, first + v] += scale * packed[at]
            if v != u:
                out[first + v, first + u] += scale * packed[at]
            at += 1
