"""Gumbel-softmax gate: softmax of logits with Gumbel noise, averaged over the noise.

    pi_k(x) = E softmax_k((u(x) + g) / tau),    g_1, ..., g_K independent with distribution exp(-exp(-g))

round the logits u of any inner gate (Jang, Gu and Poole 2017; Maddison, Mnih and Teh 2017); as a gate of a mixture of
experts with linear u it is that of arXiv 2502.03608. As tau tends to zero, the largest noisy logit takes all, and the
average is exactly softmax(u): ``tau=0`` is that closed form. For a larger tau weights are nearer to equal than
softmax(u) has them, without being those of softmax(u / c) for any c.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dilation, Dims
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.averaged import Averaged, uniform_draws
from moestat.kernels import jit, vexp, vlog
from moestat.params import POSITIVE, Layout, axes, layout_of, parameters, part
from moestat.typing import FloatArray

#: tau that a search begins with, where it is estimated.
START_TAU = 0.5


@parameters
class GumbelParams:
    """The inner gate's record and the temperature tau."""

    inner: Any = part()
    temperature: FloatArray = axes(support=POSITIVE, label="temperature")


@dataclass(frozen=True)
class Gumbel(Averaged):
    """Weights E softmax((u + Gumbel noise) / tau), averaged over draws that all rows share.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.
    tau : float, optional
        The temperature to hold, 0 for the closed form softmax(u); estimated when None.
    n_draws : int
        Number of draws of the noise, a power of two.
    seed : int
        Where they come from.

    References
    ----------
    Jang, Gu and Poole (2017), Categorical reparameterization with Gumbel-softmax, ICLR, arXiv 1611.01144.
    Maddison, Mnih and Teh (2017), The concrete distribution, ICLR, arXiv 1611.00712.
    """

    tau: float | None = 1.0

    name: ClassVar[str] = "gumbel"

    def __post_init__(self) -> None:
        super().__post_init__()
        number = isinstance(self.tau, int | float | np.integer | np.floating) and not isinstance(self.tau, bool)
        if self.tau is not None and not (number and np.isfinite(self.tau) and self.tau >= 0):
            raise InputError(
                f"tau must be a finite number of at least 0 (where the gate is its inner gate), or None to estimate "
                f"it; got {self.tau!r}."
            )

    @property
    def n_own(self) -> int:
        return int(self.tau is None)

    def layout(self, dims: Dims) -> Layout:
        inner = self.inner.layout(dims)
        return inner if self.tau is not None else layout_of(GumbelParams, {}, inner=inner)

    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout) if self.tau == 0.0 else None

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        inner = super().start(layout, block, resp, schema)
        return inner if self.tau is not None else layout.build(inner=inner, temperature=START_TAU)

    # ------------------------------------------------------------------------------- averages
    def _tau(self, own: FloatArray) -> float:
        return float(np.exp(np.clip(own[0], -20.0, 20.0))) if self.tau is None else float(self.tau)

    def log_weights(self, U: FloatArray, own: FloatArray, out: FloatArray) -> None:
        tau = self._tau(own)
        if tau == 0.0:
            _log_softmax(U, out)
        else:
            _averages(U, gumbel_draws(self.n_draws, len(U), self.seed), 1.0 / tau, out)

    def slopes(self, U: FloatArray, own: FloatArray, out: FloatArray) -> None:
        tau = self._tau(own)
        if tau == 0.0:
            share = np.empty_like(U)
            _log_softmax(U, share)
            out[:] = np.eye(len(U))[:, :, None] - np.exp(share)
        else:
            _slopes(U, gumbel_draws(self.n_draws, len(U), self.seed), 1.0 / tau, out)


@lru_cache(maxsize=32)
def gumbel_draws(n_draws: int, n_experts: int, seed: int) -> FloatArray:
    """Draws (n_draws, n_experts) of the Gumbel distribution."""
    draws: FloatArray = -np.log(-np.log(uniform_draws(n_draws, n_experts, seed)))
    draws.setflags(write=False)
    return draws


# --------------------------------------------------------------------------------------- kernels


@jit
def _log_softmax(U: FloatArray, out: FloatArray) -> None:
    K, B = U.shape
    for j in range(B):
        top = U[0, j]
        for k in range(1, K):
            top = max(top, U[k, j])
        total = 0.0
        for k in range(K):
            total += vexp(U[k, j] - top)
        level = top + vlog(total)
        for k in range(K):
            out[k, j] = U[k, j] - level


@jit
def _shares(
    U: FloatArray, noise: FloatArray, inverse: float, top: FloatArray, total: FloatArray, S: FloatArray
) -> None:
    """S (K, B) = softmax((U + noise) / tau) for one draw."""
    K, B = U.shape
    for j in range(B):
        top[j] = -np.inf
        total[j] = 0.0
    for k in range(K):
        u = U[k]
        for j in range(B):
            top[j] = max(top[j], u[j] + noise[k])
    for k in range(K):
        u = U[k]
        s = S[k]
        for j in range(B):
            e = vexp((u[j] + noise[k] - top[j]) * inverse)
            s[j] = e
            total[j] += e
    for j in range(B):
        total[j] = 1.0 / total[j]
    for k in range(K):
        s = S[k]
        for j in range(B):
            s[j] *= total[j]


@jit
def _averages(U: FloatArray, noise: FloatArray, inverse: float, out: FloatArray) -> None:
    """out = log mean softmax((U + noise) / tau)."""
    K, B = U.shape
    M = noise.shape[0]
    top, total, S = np.empty(B), np.empty(B), np.empty((K, B))
    out[:] = 0.0
    for m in range(M):
        _shares(U, noise[m], inverse, top, total, S)
        for k in range(K):
            o = out[k]
            s = S[k]
            for j in range(B):
                o[j] += s[j]
    for k in range(K):
        o = out[k]
        for j in range(B):
            o[j] = vlog(o[j] / M) if o[j] > 1e-290 else -np.inf


@jit
def _slopes(U: FloatArray, noise: FloatArray, inverse: float, out: FloatArray) -> None:
    """Derivatives of that in U, and in log tau where out has room for it."""
    K, B = U.shape
    M, own = noise.shape[0], out.shape[1] > K
    top, total, S, mean, level = np.empty(B), np.empty(B), np.empty((K, B)), np.zeros((K, B)), np.empty(B)
    out[:] = 0.0
    for m in range(M):
        _shares(U, noise[m], inverse, top, total, S)
        for k in range(K):
            s = S[k]
            t = mean[k]
            for j in range(B):
                t[j] += s[j]
            for l in range(k + 1):
                r = S[l]
                o = out[k, l]
                for j in range(B):
                    o[j] -= s[j] * r[j]
        if own:
            for j in range(B):
                level[j] = 0.0
            for k in range(K):
                for j in range(B):
                    level[j] += S[k, j] * (U[k, j] + noise[m, k])
            for k in range(K):
                for j in range(B):
                    out[k, K, j] -= S[k, j] * (U[k, j] + noise[m, k] - level[j])
    for k in range(K):
        for l in range(k):
            for j in range(B):
                out[l, k, j] = out[k, l, j]
    for k in range(K):
        for j in range(B):
            out[k, k, j] += mean[k, j]
            # an expert without weight has no derivative that anybody listens to
            total[j] = inverse / mean[k, j] if mean[k, j] > 1e-290 else 0.0
        for l in range(out.shape[1]):
            o = out[k, l]
            for j in range(B):
                o[j] *= total[j]
