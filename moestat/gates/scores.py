"""Gates whose logit is a bent score: h_k = p s_k + alpha a(tau s_k) with s_k = b_k' x + c_k, each expert's own.

A gate of this kind names the activation a and the three numbers. The scores are linear, so the covariates may be
shifted, scaled and mixed.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

from moestat.component import Dims, Gate
from moestat.coordinates import ColumnMap
from moestat.data import Block
from moestat.errors import InputError
from moestat.gate_information import Division, Forms, lower_forms
from moestat.kernels import jit
from moestat.kernels.activations import activate, differentiate
from moestat.kernels.linear import linear_predictor, row_dots, weighted_gram
from moestat.params import Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray


class Bend(NamedTuple):
    """What is done to a score: h = straight s + alpha a(tau s), the activation a by its code."""

    code: int
    straight: float
    alpha: float
    tau: float


@parameters
class ScoreParams:
    """slopes b (K, d) and intercepts c (K,) of the scores."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")


class BentScores(Gate):
    """A gate with the logits p s_k + alpha a(tau s_k)."""

    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True

    @property
    @abstractmethod
    def bend(self) -> Bend:
        """Activation and numbers."""

    def layout(self, dims: Dims) -> Layout:
        return layout_of(ScoreParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def predictors(self, layout: Layout) -> IntArray:
        return self.columns(layout)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(self.bend, local, block.Z, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(self.bend, local, block.Z, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(self.bend, local, block.Z, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(self.bend, local, block.Z, weights, out)

    def forms(self, columns: IntArray) -> Forms:
        return Forms(columns, lower_forms(len(columns)))

    def form_weights(self, local: FloatArray, tile: Division, first: FloatArray, second: FloatArray) -> None:
        _form_weights(self.bend, local, tile.block.Z, tile.share, tile.mass, tile.gap, first, second)

    def enlarge(self, old: Layout, new: Layout, theta: FloatArray, copied: IntArray, split: float = 0.0) -> FloatArray:
        if split:
            raise InputError(f"copies share no mass under the {self.name} gate: its scores are bent.")
        return super().enlarge(old, new, theta, copied)

    def rescale(self, params: ScoreParams, covariates: ColumnMap) -> ScoreParams:
        return ScoreParams(
            slopes=covariates.slopes(params.slopes),
            intercepts=params.intercepts + covariates.gain(params.slopes),
        )


# --------------------------------------------------------------------------------------- kernels


@jit
def _value(bend: Bend, local: FloatArray, Z: FloatArray, V: FloatArray) -> None:
    scaled, bent = np.empty(Z.shape[1]), np.empty(Z.shape[1])
    linear_predictor(local, Z, V)
    for k in range(V.shape[0]):
        v = V[k]
        for j in range(v.size):
            scaled[j] = bend.tau * v[j]
        activate(bend.code, scaled, bent)
        for j in range(v.size):
            v[j] = bend.straight * v[j] + bend.alpha * bent[j]


@jit
def _derivatives(
    bend: Bend, own: FloatArray, Z: FloatArray, score: FloatArray, slope: FloatArray, turn: FloatArray
) -> None:
    """First and second derivative of one expert's logit in its score; score (1, B) is scratch."""
    value = np.empty(Z.shape[1])
    linear_predictor(own, Z, score)
    s = score[0]
    for j in range(s.size):
        s[j] *= bend.tau
    differentiate(bend.code, s, value, slope, turn)
    first = bend.alpha * bend.tau
    second = first * bend.tau
    for j in range(s.size):
        slope[j] = bend.straight + first * slope[j]
        turn[j] *= second


@jit
def _jac(bend: Bend, local: FloatArray, Z: FloatArray, J: FloatArray) -> None:
    B = Z.shape[1]
    score, slope, turn = np.empty((1, B)), np.empty(B), np.empty(B)
    for k in range(local.shape[0]):
        _derivatives(bend, local[k : k + 1], Z, score, slope, turn)
        for u in range(Z.shape[0]):
            z = Z[u]
            o = J[k, u]
            for j in range(B):
                o[j] = slope[j] * z[j]


@jit
def _pull(bend: Bend, local: FloatArray, Z: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    B = Z.shape[1]
    score, slope, turn = np.empty((1, B)), np.empty(B), np.empty(B)
    for k in range(local.shape[0]):
        c = weights[k]
        _derivatives(bend, local[k : k + 1], Z, score, slope, turn)
        for j in range(B):
            slope[j] *= c[j]
        row_dots(slope, Z, out[k])


@jit
def _curv(bend: Bend, local: FloatArray, Z: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    B = Z.shape[1]
    score, slope, turn = np.empty((1, B)), np.empty(B), np.empty(B)
    for k in range(local.shape[0]):
        c = weights[k]
        _derivatives(bend, local[k : k + 1], Z, score, slope, turn)
        for j in range(B):
            turn[j] *= c[j]
        weighted_gram(turn, Z, 1.0, 0, out[k])


@jit
def _form_weights(
    bend: Bend,
    local: FloatArray,
    Z: FloatArray,
    share: FloatArray,
    mass: FloatArray,
    gap: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """With s, t the derivatives of h_k in its score: gap s; w pi_k (1 - pi_k) s^2 - gap t, and - w pi_k s pi_l s."""
    K, B = share.shape
    score, turn, slopes = np.empty((1, B)), np.empty(B), np.empty((K, B))
    at = 0
    for k in range(K):
        slope = slopes[k]
        _derivatives(bend, local[k : k + 1], Z, score, slope, turn)
        p, c, f = share[k], gap[k], first[k]
        for l in range(k):
            other = slopes[l]  # times its weight already
            o = second[at + l]
            for j in range(B):
                o[j] = -mass[j] * p[j] * slope[j] * other[j]
        at += k
        o = second[at]
        for j in range(B):
            f[j] = c[j] * slope[j]
        for j in range(B):
            weighted = p[j] * slope[j]
            o[j] = mass[j] * (1.0 - p[j]) * weighted * slope[j] - c[j] * turn[j]
            slope[j] = weighted
        at += 1
