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
from moestat.kernels.linear import linear_predictor, row_dots
from moestat.kernels.vmath import vexp, vlog
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
            _probabilities(local[k].reshape(n_classes - 1, p), block.X, out[k])
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


@jit
def _probabilities(coef: FloatArray, X: FloatArray, P: FloatArray) -> None:
    """P (C, B): class probabilities of one expert, coef (C - 1, p)."""
    C, B = P.shape
    linear_predictor(coef, X, P[1:])
    top = np.zeros(B)
    total = np.empty(B)
    for s in range(1, C):
        o = P[s]
        for j in range(B):
            top[j] = max(top[j], o[j])
    for j in range(B):
        t = vexp(-top[j])
        P[0, j] = t
        total[j] = t
    for s in range(1, C):
        o = P[s]
        for j in range(B):
            t = vexp(o[j] - top[j])
            o[j] = t
            total[j] += t
    for j in range(B):
        total[j] = 1.0 / total[j]
    for s in range(C):
        o = P[s]
        for j in range(B):
            o[j] *= total[j]


@jit
def _value(local: FloatArray, X: FloatArray, Y: FloatArray, V: FloatArray) -> None:
    p, B = X.shape
    C = local.shape[1] // p + 1
    y = Y[0]
    eta = np.empty((C - 1, B))
    top = np.empty(B)
    total = np.empty(B)
    for k in range(V.shape[0]):
        v = V[k]
        linear_predictor(local[k].reshape(C - 1, p), X, eta)
        for j in range(B):
            top[j] = 0.0
            v[j] = 0.0
        for s in range(C - 1):
            o = eta[s]
            label = s + 1.0
            for j in range(B):
                top[j] = max(top[j], o[j])
                v[j] = o[j] if y[j] == label else v[j]
        for j in range(B):
            total[j] = vexp(-top[j])
        for s in range(C - 1):
            o = eta[s]
            for j in range(B):
                total[j] += vexp(o[j] - top[j])
        for j in range(B):
            v[j] -= top[j] + vlog(total[j])


@jit
def _jac(local: FloatArray, X: FloatArray, Y: FloatArray, J: FloatArray) -> None:
    p, B = X.shape
    C = local.shape[1] // p + 1
    y = Y[0]
    P = np.empty((C, B))
    for k in range(local.shape[0]):
        _probabilities(local[k].reshape(C - 1, p), X, P)
        for s in range(1, C):
            r = P[s]
            for j in range(B):
                r[j] = (1.0 if y[j] == s else 0.0) - r[j]
            for u in range(p):
                x = X[u]
                o = J[k, (s - 1) * p + u]
                for j in range(B):
                    o[j] = r[j] * x[j]


@jit
def _pull(local: FloatArray, X: FloatArray, Y: FloatArray, c: FloatArray, out: FloatArray) -> None:
    p, B = X.shape
    C = local.shape[1] // p + 1
    y = Y[0]
    P = np.empty((C, B))
    for k in range(local.shape[0]):
        ck = c[k]
        _probabilities(local[k].reshape(C - 1, p), X, P)
        for s in range(1, C):
            r = P[s]
            for j in range(B):
                r[j] = ck[j] * ((1.0 if y[j] == s else 0.0) - r[j])
            row_dots(r, X, out[k, (s - 1) * p : s * p])


@jit
def _curv(local: FloatArray, X: FloatArray, c: FloatArray, out: FloatArray) -> None:
    p, B = X.shape
    C = local.shape[1] // p + 1
    P = np.empty((C, B))
    w = np.empty(B)
    gram = np.empty((p, p))
    for k in range(local.shape[0]):
        ck = c[k]
        _probabilities(local[k].reshape(C - 1, p), X, P)
        for s in range(1, C):
            a = P[s]
            for t in range(1, s + 1):
                b = P[t]
                if s == t:
                    for j in range(B):
                        w[j] = -ck[j] * a[j] * (1.0 - a[j])
                else:
                    for j in range(B):
                        w[j] = ck[j] * a[j] * b[j]
                _gram(w, X, gram)
                for u in range(p):
                    for v in range(p):
                        out[k, (s - 1) * p + u, (t - 1) * p + v] += gram[u, v]
                        if s != t:
                            out[k, (t - 1) * p + u, (s - 1) * p + v] += gram[u, v]


@jit
def _gram(w: FloatArray, X: FloatArray, out: FloatArray) -> None:
    """out = X diag(w) X'."""
    p, B = X.shape
    t = np.empty(B)
    for u in range(p):
        x = X[u]
        for j in range(B):
            t[j] = w[j] * x[j]
        for v in range(u + 1):
            y = X[v]
            s = 0.0
            for j in range(B):
                s += t[j] * y[j]
            out[u, v] = s
            out[v, u] = s
