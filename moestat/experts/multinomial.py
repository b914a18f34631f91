"""Multinomial-logistic expert.

    f_k(y = s | x) = exp(a_ks' x + b_ks) / sum_t exp(a_kt' x + b_kt),   a_k0 = 0, b_k0 = 0

The first class is the reference, as in logistic regression.       [Jordan and Jacobs 1994; arXiv 2310.14188]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.kernels import jit
from moestat.kernels.linear import STRIP, add_dots, add_group, form_products, predict, products_for
from moestat.kernels.vmath import vexp, vlog
from moestat.law import Law, LinearPredictor
from moestat.params import Layout, axes, layout_of, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class MultinomialParams:
    """slopes (K, C - 1, d) and intercepts (K, C - 1): log odds of classes 1, ..., C - 1 against class 0."""

    intercepts: FloatArray = axes("expert", "class", label="const")
    slopes: FloatArray = axes("expert", "class", "feature")


@dataclass(frozen=True)
class Multinomial(Expert):
    """Class probabilities by a multinomial logit; any number of classes, two and more."""

    name: ClassVar[str] = "multinomial"
    categorical: ClassVar[bool] = True
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        sizes = {"expert": dims.n_experts, "class": dims.n_classes - 1, "feature": dims.n_features}
        return layout_of(MultinomialParams, sizes)

    def columns(self, layout: Layout) -> IntArray:
        # class after class: its intercept, then its slopes
        return self._coefficients(layout).reshape(len(layout.index("intercepts")), -1)

    def predictors(self, layout: Layout) -> IntArray:
        return self._coefficients(layout).reshape(-1, 1 + layout.index("slopes").shape[2])

    @staticmethod
    def _coefficients(layout: Layout) -> IntArray:
        """Flat positions (K, C - 1, 1 + d) of intercepts and slopes."""
        return np.concatenate([layout.index("intercepts")[:, :, None], layout.index("slopes")], axis=2)

    def rescale(self, params: MultinomialParams, covariates: ColumnMap, response: Affine) -> MultinomialParams:
        return MultinomialParams(
            slopes=covariates.slopes(params.slopes),
            intercepts=params.intercepts + covariates.gain(params.slopes),
        )

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> MultinomialParams:
        slopes = layout.index("slopes")
        n_classes = slopes.shape[1] + 1
        one_hot = block.Y[0] == np.arange(n_classes)[:, None]
        counts = resp @ one_hot.T + 0.1 * resp.mean()  # a little of every class keeps the logits finite
        return MultinomialParams(slopes=np.zeros(slopes.shape), intercepts=np.log(counts[:, 1:] / counts[:, :1]))

    # ------------------------------------------------------------------------------- density
    def predictor_laws(self, layout: Layout) -> list[Law] | None:
        return [Law(_law, tuple(map(LinearPredictor, logits))) for logits in self._coefficients(layout)]

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(local, block.X, block.Y, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(local, block.X, block.Y, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(local, block.X, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(local, block.X, block.Y, weights, out)

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        K, p = local.shape[0], block.X.shape[0]
        n_classes = local.shape[1] // p + 1
        out = np.empty((K, n_classes, block.weight.size))
        for k in range(K):
            _probabilities(local[k].reshape(n_classes - 1, p), block.X, 0, block.weight.size, out[k])
        return out

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        probabilities = self.mean(local, block)
        other = probabilities[:, 1:]
        classes = np.arange(probabilities.shape[1])
        # d p_s / d eta_t = p_s (1[s = t] - p_t), times the features
        delta = (classes[None, :] == classes[1:, None])[None, :, :, None]
        by_logit = probabilities[:, None] * (delta - other[:, :, None])
        K, C, B = probabilities.shape
        return np.asarray(np.einsum("ktsb,ub->ktusb", by_logit, block.X)).reshape(K, -1, C, B)

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        rows = np.arange(chosen.size)
        cumulative = np.cumsum(self.mean(local, block)[chosen, :, rows], axis=1)
        codes = (rng.random(chosen.size)[:, None] > cumulative[:, :-1]).sum(axis=1)
        return np.asarray(codes[None], dtype=np.float64)


# --------------------------------------------------------------------------------------- kernels
# in strips: the classes of one expert stay in the cache


@jit
def _probabilities(coef: FloatArray, X: FloatArray, first: int, last: int, P: FloatArray) -> None:
    """P (C, last - first): class probabilities of one expert over the columns first to last, coef (C - 1, p)."""
    C = P.shape[0]
    size = last - first
    predict(coef, X, first, last, P[1:], 0)
    top = np.zeros(size)
    total = np.zeros(size)
    P[0, :size] = 0.0
    for s in range(1, C):
        o = P[s]
        for j in range(size):
            top[j] = max(top[j], o[j])
    for s in range(C):
        o = P[s]
        for j in range(size):
            t = vexp(o[j] - top[j])
            o[j] = t
            total[j] += t
    for j in range(size):
        total[j] = 1.0 / total[j]
    for s in range(C):
        o = P[s]
        for j in range(size):
            o[j] *= total[j]


@jit
def _residuals(coef: FloatArray, X: FloatArray, y: FloatArray, first: int, last: int, P: FloatArray) -> None:
    """P as in `_probabilities`, but 1[y = s] - p_s of the classes s > 0."""
    _probabilities(coef, X, first, last, P)
    z = y[first:last]
    for s in range(1, P.shape[0]):
        r = P[s]
        label = float(s)
        for j in range(z.size):
            r[j] = (1.0 if z[j] == label else 0.0) - r[j]


@jit
def _value(local: FloatArray, X: FloatArray, Y: FloatArray, V: FloatArray) -> None:
    p, B = X.shape
    C = local.shape[1] // p + 1
    width = min(B, STRIP)
    eta = np.empty((C - 1, width))
    top = np.empty(width)
    total = np.empty(width)
    for first in range(0, B, STRIP):
        last = min(first + STRIP, B)
        y = Y[0, first:last]
        for k in range(V.shape[0]):
            v = V[k, first:last]
            predict(local[k].reshape(C - 1, p), X, first, last, eta, 0)
            for j in range(v.size):
                top[j] = 0.0
                v[j] = 0.0
            for s in range(C - 1):
                o = eta[s]
                label = s + 1.0
                for j in range(v.size):
                    top[j] = max(top[j], o[j])
                    v[j] = o[j] if y[j] == label else v[j]
            for j in range(v.size):
                total[j] = vexp(-top[j])
            for s in range(C - 1):
                o = eta[s]
                for j in range(v.size):
                    total[j] += vexp(o[j] - top[j])
            for j in range(v.size):
                v[j] -= top[j] + vlog(total[j])


@jit
def _jac(local: FloatArray, X: FloatArray, Y: FloatArray, J: FloatArray) -> None:
    p, B = X.shape
    C = local.shape[1] // p + 1
    P = np.empty((C, min(B, STRIP)))
    for first in range(0, B, STRIP):
        last = min(first + STRIP, B)
        for k in range(local.shape[0]):
            _residuals(local[k].reshape(C - 1, p), X, Y[0], first, last, P)
            for s in range(1, C):
                r = P[s]
                for u in range(p):
                    x = X[u, first:last]
                    o = J[k, (s - 1) * p + u, first:last]
                    for j in range(o.size):
                        o[j] = r[j] * x[j]


@jit
def _pull(local: FloatArray, X: FloatArray, Y: FloatArray, c: FloatArray, out: FloatArray) -> None:
    p, B = X.shape
    C = local.shape[1] // p + 1
    P = np.empty((C, min(B, STRIP)))
    for k in range(local.shape[0]):
        sums = np.zeros(((C + 2) // 4 * 4, (p + 3) // 4 * 4))
        for first in range(0, B, STRIP):
            last = min(first + STRIP, B)
            _residuals(local[k].reshape(C - 1, p), X, Y[0], first, last, P)
            ck = c[k, first:last]
            for s in range(1, C):
                r = P[s]
                for j in range(ck.size):
                    r[j] *= ck[j]
            add_dots(P[1:], C - 1, 0, X, first, last, sums)
        for s in range(C - 1):
            for u in range(p):
                out[k, s * p + u] += sums[s, u]


@jit
def _curv(local: FloatArray, X: FloatArray, c: FloatArray, out: FloatArray) -> None:
    """Weights of all pairs of classes, p_s (1[s = t] - p_t), times products of features."""
    p, B = X.shape
    C = local.shape[1] // p + 1
    pairs = C * (C - 1) // 2
    products = products_for(X, pairs)
    strip = products.shape[1]
    P = np.empty((C, strip))
    rows = np.empty((4, strip))
    sums = np.empty(((pairs + 3) // 4 * 4, (p * (p + 1) // 2 + 3) // 4 * 4))
    for k in range(local.shape[0]):
        sums[:] = 0.0
        for first in range(0, B, strip):
            last = min(first + strip, B)
            form_products(X, first, last, products)
            _probabilities(local[k].reshape(C - 1, p), X, first, last, P)
            s = 1
            t = 1
            for row in range(0, pairs, 4):
                count = min(4, pairs - row)
                for i in range(count):
                    _pair_weights(c[k, first:last], P[s], P[t], s == t, rows[i])
                    s, t = (s, t + 1) if t < s else (s + 1, 1)
                add_group(rows, 0, count, 0, X, products, first, last, sums, row)
        row = 0
        for s in range(C - 1):
            for t in range(s + 1):
                _add_block(sums[row], p, s * p, t * p, out[k])
                row += 1


@jit
def _pair_weights(c: FloatArray, a: FloatArray, b: FloatArray, own: bool, out: FloatArray) -> None:
    """out = -c a (1 - a) of a class with itself, or c a b of two."""
    if own:
        for j in range(c.size):
            out[j] = -c[j] * a[j] * (1.0 - a[j])
    else:
        for j in range(c.size):
            out[j] = c[j] * a[j] * b[j]


@jit
def _add_block(packed: FloatArray, p: int, row: int, column: int, out: FloatArray) -> None:
    """Add a symmetric block (p, p), packed by rows of its lower triangle, at (row, column) and at (column, row)."""
    at = 0
    for u in range(p):
        for v in range(u + 1):
            x = packed[at]
            at += 1
            out[row + u, column + v] += x
            if v != u:
                out[row + v, column + u] += x
            if row != column:
                out[column + v, row + u] += x
                if v != u:
                    out[column + u, row + v] += x


@jit
def _law(
    settings: FloatArray,
    eta: FloatArray,
    Y: FloatArray,
    offset: FloatArray,
    order: int,
    V: FloatArray,
    G: FloatArray,
    C: FloatArray,
) -> None:
    """Of the logits of classes 1, ..., C - 1; see `moestat.law.Law`. Offsets belong to no class."""
    n, B = eta.shape
    y = Y[0]
    top = np.zeros(B)
    total = np.empty(B)
    for s in range(n):
        o = eta[s]
        for j in range(B):
            top[j] = max(top[j], o[j])
    for j in range(B):
        total[j] = vexp(-top[j])
        V[j] = 0.0
    for s in range(n):
        o = eta[s]
        g = G[s]
        label = s + 1.0
        for j in range(B):
            t = vexp(o[j] - top[j])
            g[j] = t
            total[j] += t
        for j in range(B):
            V[j] = o[j] if y[j] == label else V[j]
    for j in range(B):
        V[j] -= top[j] + vlog(total[j])
    if order == 0:
        return
    for j in range(B):
        total[j] = 1.0 / total[j]
    for s in range(n):
        g = G[s]
        for j in range(B):
            g[j] *= total[j]
    if order > 1:
        row = 0
        for s in range(n):
            p = G[s]
            for t in range(s + 1):
                q = G[t]
                c = C[row]
                for j in range(B):
                    c[j] = p[j] * q[j]
                if s == t:
                    for j in range(B):
                        c[j] -= p[j]
                row += 1
    for s in range(n):
        g = G[s]
        label = s + 1.0
        for j in range(B):
            g[j] = (1.0 if y[j] == label else 0.0) - g[j]
