"""Families whose covariates enter by one linear predictor per expert, eta_k = a_k' x + b_k + offset.

A family says how its log density changes with eta; derivatives in the coefficients follow by the chain rule.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from moestat.component import Expert
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block
from moestat.kernels import jit
from moestat.kernels.linear import linear_predictor, pull_linear, weighted_gram
from moestat.params import Layout, own_columns
from moestat.typing import FloatArray, IntArray


class PredictorExpert(Expert):
    """A family with a linear predictor and no other parameters; its record has ``intercepts`` and ``slopes``.

    Local parameters of an expert: intercept, then slopes.
    """

    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True
    accepts_offset: ClassVar[bool] = True
    accepts_exposure: ClassVar[bool] = True

    def columns(self, layout: Layout) -> IntArray:
        return self.predictors(layout)

    def predictors(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def rescale(self, params: Any, covariates: ColumnMap, response: Affine) -> Any:
        return rescaled(params, covariates)

    # ------------------------------------------------------------------------------- derivatives
    @abstractmethod
    def eta_slopes(self, local: FloatArray, block: Block) -> FloatArray:
        """First derivatives (K, B) of the log density in eta."""

    @abstractmethod
    def eta_bends(self, local: FloatArray, block: Block) -> FloatArray:
        """Second derivatives (K, B) of the log density in eta."""

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        spread(self.eta_slopes(local, block), block.X, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        add_grams(weights, self.eta_bends(local, block), block.X, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        slopes = self.eta_slopes(local, block)
        slopes *= weights
        pull_linear(slopes, block.X, out)


def rescaled(params: Any, covariates: ColumnMap) -> Any:
    """A record's predictors in other coordinates of the covariates, the rest as it is."""
    fields = {name: getattr(params, name) for name in type(params).__dataclass_fields__}
    slopes, intercepts = covariates.slopes(params.slopes), params.intercepts + covariates.gain(params.slopes)
    return type(params)(**(fields | {"slopes": slopes, "intercepts": intercepts}))


def predictor(local: FloatArray, block: Block) -> FloatArray:
    """eta (K, B), offset included."""
    out = np.empty((len(local), block.weight.size))
    linear_predictor(local, block.X, out)
    out += block.offset
    return out


def lines(X: FloatArray, y: FloatArray, resp: FloatArray) -> FloatArray:
    """Weighted least-squares coefficients (K, p) of y (B,) on X (p, B), one row per row of weights (K, B)."""
    roots = np.sqrt(resp)
    return np.stack([np.linalg.lstsq((X * root).T, root * y, rcond=1e-7)[0] for root in roots])


def standardised_response(block: Block, y: FloatArray) -> Block:
    """The block with response y (B,) and its offset in units of their standard deviation."""
    free = y - block.offset
    share = block.weight / block.weight.sum()
    sd = float(np.sqrt(share @ (free - share @ free) ** 2)) or 1.0
    return block._replace(Y=np.ascontiguousarray(y[None] / sd), offset=block.offset / sd)


# --------------------------------------------------------------------------------------- kernels


@jit
def spread(S: FloatArray, X: FloatArray, J: FloatArray) -> None:
    """J[k, u] = S[k] X[u], the first rows of each expert's Jacobian (K, q, B)."""
    p, B = X.shape
    for k in range(S.shape[0]):
        s = S[k]
        for u in range(p):
            x = X[u]
            o = J[k, u]
            for j in range(B):
                o[j] = s[j] * x[j]


@jit
def add_grams(c: FloatArray, T: FloatArray, X: FloatArray, out: FloatArray) -> None:
    """out[k, :p, :p] += X diag(c_k T_k) X'."""
    w = np.empty(X.shape[1])
    for k in range(c.shape[0]):
        ck = c[k]
        tk = T[k]
        for j in range(w.size):
            w[j] = ck[j] * tk[j]
        weighted_gram(w, X, 1.0, 0, out[k])
