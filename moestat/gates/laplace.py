"""Laplace gate: nearness to a centre.

    pi_k(x) = softmax_k( b_k - sqrt(|x - c_k|^2 + eps^2) )

With eps = 0 it is the gate of FuseMoE (Han, Nguyen, Harris, Ho and Saria 2024, arXiv 2402.03226), whose logit has a
kink at its centre. The root smooths the kink, and lowers a logit by eps at the centre, by eps^2 / (2 r) at a distance
r beyond.

A unit of distance is a unit of log odds, so the covariates' units are part of the model, and eps is a number of
logits. On samples of 600 rows from such gates, eps of a tenth of the covariates' standard deviation moves the fitted
log-likelihood by at most 0.11 and the centres by at most a tenth of their standard error, compared with a thousandth
of it; eps of a hundredth moves them by 0.001 and a thousandth.

Centres far away make a linear gate: with c_k = t u_k, |u_k| = 1, and intercepts b_k + t, the logits tend to
u_k' x + b_k as t grows. Only a common shift of the intercepts changes no weight. A centre that has all rows on one
side of it in one dimension is another matter: there the distance is linear, and only b_k - c_k or b_k + c_k is
determined.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import ClassVar

import numpy as np

from moestat.component import Dims
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.translated import Translated, log_mass
from moestat.kernels import jit
from moestat.kernels.linear import weighted_gram
from moestat.params import Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray

#: Standard deviation of a covariate, in logits, from which on weights are steps for all but a few rows.
STEPS = 100.0

#: Share of a covariate's standard deviation beyond which the smoothing may be seen in a fit.
BLURRED = 0.1

#: Largest distance of a starting centre from the middle of all, in logits.
START_REACH = 2.0


@parameters
class LaplaceParams:
    """intercepts b (K,), defined up to a common shift, and centres c (K, d) in the units of the covariates."""

    intercepts: FloatArray = axes("expert", label="const")
    centres: FloatArray = axes("expert", "feature")


@dataclass(frozen=True)
class Laplace(Translated):
    """Weights that fall off exponentially with the distance from a centre.

    Parameters
    ----------
    smoothing : float
        eps, in the units of the covariates, which are those of the log odds: no logit is changed by more. Where the
        covariates vary by much more than that, weights are steps anyway; bring covariates to a scale on which a unit
        should mean a unit of log odds.

    References
    ----------
    Han, Nguyen, Harris, Ho and Saria (2024), FuseMoE: mixture-of-experts transformers for fleximodal fusion,
    arXiv 2402.03226.
    """

    smoothing: float = 0.01

    name: ClassVar[str] = "laplace"
    far: ClassVar[str] = "a centre goes to infinity, towards a logit linear in the covariates with slopes of length one"

    def __post_init__(self) -> None:
        eps = self.smoothing
        if isinstance(eps, bool) or not isinstance(eps, int | float) or not (isfinite(eps) and eps > 0):
            raise InputError(
                f"smoothing must be a finite number larger than 0, in the units of the covariates; got {eps!r}."
            )

    def layout(self, dims: Dims) -> Layout:
        if dims.n_features == 0:
            raise InputError(
                "the laplace gate measures distances between covariates, and there are none. Give X or Z columns, or "
                "use gate='softmax', whose weights may be constant."
            )
        return layout_of(LaplaceParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def concerns(self, spread: FloatArray) -> tuple[str, ...]:
        largest = float(spread.max(initial=0.0))
        if largest < STEPS:
            return self.blurs(spread)
        return (
            *self.blurs(spread),
            f"To the laplace gate a unit of distance is one of log odds, and the covariates vary by about {largest:g}: "
            "its weights are steps, and the likelihood has many maxima. Scale the covariates.",
        )

    def blurs(self, spread: FloatArray) -> tuple[str, ...]:
        largest = float(spread.max(initial=0.0))
        if self.smoothing <= BLURRED * largest:
            return ()
        return (
            f"The laplace gate smooths its kinks over smoothing={self.smoothing:g}, {self.smoothing / largest:.2g} "
            f"times what the covariates vary by, about {largest:g}: the fit depends on it. Take "
            f"smoothing={0.01 * largest:.1g}, or scale the covariates.",
        )

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("centres"))

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(local, block.Z, self.smoothing**2, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(local, block.Z, self.smoothing**2, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(local, block.Z, self.smoothing**2, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(local, block.Z, self.smoothing**2, weights, out)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> LaplaceParams:
        # a little of every row keeps a centre that has none among them
        share = resp + 1e-3 * block.weight / len(resp)
        centres = share @ block.Z[1:].T / share.sum(axis=1, keepdims=True)
        # log odds are at most the distance between centres: a gate that starts as a step stays one
        middle = centres.mean(axis=0)
        reach = np.linalg.norm(centres - middle, axis=1).max()
        return LaplaceParams(
            intercepts=log_mass(resp), centres=middle + (centres - middle) * min(1.0, START_REACH / max(reach, 1e-300))
        )

    def shifts(self, layout: Layout) -> dict[str, IntArray]:
        return {"common shift of the gate's intercepts": layout.index("intercepts")}


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, centre


@jit
def _distances(centre: FloatArray, Z: FloatArray, square: float, out: FloatArray) -> None:
    """out = sqrt(|z - c|^2 + eps^2); the intercept stands in the place of c for the row of ones."""
    for j in range(out.size):
        out[j] = square
    for u in range(1, Z.shape[0]):
        z = Z[u]
        c = centre[u]
        for j in range(out.size):
            out[j] += (z[j] - c) * (z[j] - c)
    for j in range(out.size):
        out[j] = sqrt(out[j])


@jit
def _value(local: FloatArray, Z: FloatArray, square: float, V: FloatArray) -> None:
    for k in range(V.shape[0]):
        v = V[k]
        b = local[k, 0]
        _distances(local[k], Z, square, v)
        for j in range(v.size):
            v[j] = b - v[j]


@jit
def _jac(local: FloatArray, Z: FloatArray, square: float, J: FloatArray) -> None:
    for k in range(local.shape[0]):
        inverse = J[k, 0]
        _distances(local[k], Z, square, inverse)
        for j in range(inverse.size):
            inverse[j] = 1.0 / inverse[j]
        for u in range(1, Z.shape[0]):
            z = Z[u]
            o = J[k, u]
            c = local[k, u]
            for j in range(o.size):
                o[j] = (z[j] - c) * inverse[j]
        for j in range(inverse.size):
            inverse[j] = 1.0


@jit
def _pull(local: FloatArray, Z: FloatArray, square: float, weights: FloatArray, out: FloatArray) -> None:
    w = np.empty(Z.shape[1])
    for k in range(local.shape[0]):
        ck = weights[k]
        _distances(local[k], Z, square, w)
        total = 0.0
        for j in range(w.size):
            total += ck[j]
            w[j] = ck[j] / w[j]
        out[k, 0] += total
        for u in range(1, Z.shape[0]):
            z = Z[u]
            c = local[k, u]
            s = 0.0
            for j in range(w.size):
                s += w[j] * (z[j] - c)
            out[k, u] += s


@jit
def _curv(local: FloatArray, Z: FloatArray, square: float, weights: FloatArray, out: FloatArray) -> None:
    """d2 h / dc dc' = (r r' - I) / distance with r = (z - c) / distance."""
    e, B = Z.shape
    w = np.empty(B)
    ray = np.empty((e, B))
    for k in range(local.shape[0]):
        ck = weights[k]
        _distances(local[k], Z, square, w)
        total = 0.0
        for u in range(1, e):
            z = Z[u]
            r = ray[u]
            c = local[k, u]
            for j in range(B):
                r[j] = (z[j] - c) / w[j]
        for j in range(B):
            w[j] = ck[j] / w[j]
            total += w[j]
        weighted_gram(w, ray[1:], 1.0, 1, out[k])
        for u in range(1, e):
            out[k, u, u] -= total
