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
from moestat.gates.averaged import Averaged, less_products, uniform_draws
from moestat.kernels import jit, vexp, vlog
from moestat.params import POSITIVE, Layout, axes, layout_of, parameters, part
from moestat.typing import FloatArray

#: Noise that spreads over more than this many times tau has no place in exponentials on their own.
FARTHEST = 300.0

#: Weights no larger than this, or its logarithm, count as zero.
NOTHING = 1e-290
LEAST = -667.0

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
    # a smaller one makes a staircase of the average over draws, which a fit would climb
    least: ClassVar[float] = 0.1
    limit: ClassVar[str] = "the temperature falls, towards tau=0, the inner gate itself"

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

    @property
    def averages(self) -> bool:
        return self.tau != 0

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

    def derivatives(
        self, U: FloatArray, own: FloatArray, value: FloatArray, weights: FloatArray, G: FloatArray, S: FloatArray
    ) -> None:
        tau = self._tau(own)
        if tau == 0.0:
            _of_softmax(np.exp(value), weights, G, S)
        else:
            noise = gumbel_draws(self.n_draws, len(U), self.seed)
            _derivatives(U, noise, 1.0 / tau, value, weights, bool(own.size), G, S)


@lru_cache(maxsize=32)
def gumbel_draws(n_draws: int, n_experts: int, seed: int) -> FloatArray:
    """Draws (n_draws, n_experts) of the Gumbel distribution."""
    draws: FloatArray = -np.log(-np.log(uniform_draws(n_draws, n_experts, seed)))
    draws.setflags(write=False)
    return draws


def _of_softmax(PI: FloatArray, weights: FloatArray, G: FloatArray, S: FloatArray) -> None:
    """d log pi_k = 1_k - pi and d2 log pi_k = pi pi' - diag(pi)."""
    G[:] = np.eye(len(PI))[:, :, None] - PI
    total = weights.sum(axis=0)
    for out, k, l in zip(S, *np.tril_indices(len(PI)), strict=False):
        out[:] = total * PI[k] * (PI[l] - (k == l))


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
def _powers(U: FloatArray, noise: FloatArray, inverse: float, E: FloatArray, F: FloatArray) -> bool:
    """exp(u / tau) (K, B) and exp(noise / tau) (M, K), each beside its largest; whether their product will do.

    It saves an exponential per draw, but a sum of products of numbers that are nearly zero would be lost.
    """
    K, B = U.shape
    for m in range(noise.shape[0]):
        top = noise[m].max()
        if (top - noise[m].min()) * inverse > FARTHEST:
            return False
        for k in range(K):
            F[m, k] = vexp((noise[m, k] - top) * inverse)
    top = np.full(B, -np.inf)
    for k in range(K):
        for j in range(B):
            top[j] = max(top[j], U[k, j])
    for k in range(K):
        u, e = U[k], E[k]
        for j in range(B):
            e[j] = vexp((u[j] - top[j]) * inverse)
    return True


@jit
def _shares(
    U: FloatArray,
    noise: FloatArray,
    inverse: float,
    product: bool,
    E: FloatArray,
    F: FloatArray,
    total: FloatArray,
    S: FloatArray,
) -> None:
    """S (K, B) = softmax((U + noise) / tau) for one draw."""
    K, B = U.shape
    if product:
        for k in range(K):
            e, s, f = E[k], S[k], F[k]
            for j in range(B):
                s[j] = f * e[j]
    else:
        for j in range(B):
            total[j] = -np.inf
        for k in range(K):
            u = U[k]
            for j in range(B):
                total[j] = max(total[j], u[j] + noise[k])
        for k in range(K):
            u, s = U[k], S[k]
            for j in range(B):
                s[j] = vexp((u[j] + noise[k] - total[j]) * inverse)
    for j in range(B):
        total[j] = 0.0
    for k in range(K):
        s = S[k]
        for j in range(B):
            total[j] += s[j]
    for j in range(B):
        total[j] = 1.0 / total[j]
    for k in range(K):
        s = S[k]
        for j in range(B):
            s[j] *= total[j]


@jit
def _averages(U: FloatArray, noise: FloatArray, inverse: float, out: FloatArray) -> None:
    """out = log mean softmax((U + noise) / tau)."""
    (K, B), M = U.shape, noise.shape[0]
    total, S, E, F = np.empty(B), np.empty((K, B)), np.empty((K, B)), np.empty((M, K))
    product = _powers(U, noise, inverse, E, F)
    out[:] = 0.0
    for m in range(M):
        _shares(U, noise[m], inverse, product, E, F[m], total, S)
        for k in range(K):
            o, s = out[k], S[k]
            for j in range(B):
                o[j] += s[j]
    for k in range(K):
        o = out[k]
        for j in range(B):
            o[j] = vlog(o[j] / M) if o[j] > NOTHING else -np.inf


@jit
def _derivatives(
    U: FloatArray,
    noise: FloatArray,
    inverse: float,
    value: FloatArray,
    weights: FloatArray,
    own: bool,
    G: FloatArray,
    S: FloatArray,
) -> None:
    """First and second derivatives in U, and in log tau if it is ``own``; see `Averaged.derivatives`.

    With a_k = q_k s_k, A = sum_k a_k and q_k = weights_k / pi_k the second ones of sum_k q_k s_k in (u + g) / tau are

        H = diag(a) - a s' - s a' + 2 A s s' - A diag(s),

    where the sums over draws of s s' and A s s' are all that is needed.
    """
    (K, B), M, second = U.shape, noise.shape[0], S.shape[0] > 0
    total, W, E, F = np.empty(B), np.empty((K, B)), np.empty((K, B)), np.empty((M, K))
    n = K * (K + 1) // 2
    C, D, A, inner, Z = np.zeros((n, B)), np.zeros((n, B)), np.empty(B), np.empty(B), np.empty((K, B))
    q, mass = np.empty((K, B)), np.empty((K, B))
    for k in range(K):
        for j in range(B):
            # an expert without weight has no derivative that anybody listens to
            mass[k, j] = 1.0 / (M * vexp(value[k, j])) if value[k, j] > LEAST else 0.0
            q[k, j] = weights[k, j] * mass[k, j]
    G[:] = 0.0
    S[:] = 0.0
    product = _powers(U, noise, inverse, E, F)
    for m in range(M):
        _shares(U, noise[m], inverse, product, E, F[m], total, W)
        for j in range(B):
            A[j] = 0.0
        for k in range(K):
            w, r = W[k], q[k]
            for j in range(B):
                A[j] += w[j] * r[j]
        at = 0
        for k in range(K):
            for l in range(k + 1):
                w, v, c, d = W[k], W[l], C[at], D[at]
                if second:
                    for j in range(B):
                        both = w[j] * v[j]
                        c[j] += both
                        d[j] += A[j] * both
                else:
                    for j in range(B):
                        c[j] += w[j] * v[j]
                at += 1
        if own:
            _in_log_tau(U, noise[m], inverse, W, q, A, inner, total, Z, second, G, S)
    for k in range(K):
        for l in range(K):
            c, g = C[max(k, l) * (max(k, l) + 1) // 2 + min(k, l)], G[k, l]
            same = 1.0 if k == l else 0.0
            for j in range(B):
                g[j] = inverse * (same - c[j] * mass[k, j])
        if own:
            for j in range(B):
                G[k, K, j] *= mass[k, j]
    if second:
        at = 0
        for k in range(K):
            for l in range(k + 1):
                s, c, d = S[at], C[at], D[at]
                for j in range(B):
                    s[j] += inverse * inverse * (2.0 * d[j] - (q[k, j] + q[l, j]) * c[j])
                if k == l:
                    for j in range(B):
                        s[j] += inverse * inverse * weights[k, j]
                    for i in range(K):
                        d = D[max(k, i) * (max(k, i) + 1) // 2 + min(k, i)]
                        for j in range(B):
                            s[j] -= inverse * inverse * d[j]
                at += 1
        less_products(weights, G, S)


@jit
def _in_log_tau(
    U: FloatArray,
    noise: FloatArray,
    inverse: float,
    W: FloatArray,
    q: FloatArray,
    A: FloatArray,
    mean: FloatArray,
    along: FloatArray,
    Z: FloatArray,
    second: bool,
    G: FloatArray,
    S: FloatArray,
) -> None:
    """Add one draw's derivatives in log tau, along -z with z = (u + g) / tau: -s (z - s'z), and H z and z'H z."""
    K, B = U.shape
    for j in range(B):
        mean[j] = 0.0
        along[j] = 0.0
    for k in range(K):
        for j in range(B):
            Z[k, j] = (U[k, j] + noise[k] - U[0, j]) * inverse
            mean[j] += W[k, j] * Z[k, j]
            along[j] += q[k, j] * W[k, j] * Z[k, j]
    for k in range(K):
        for j in range(B):
            G[k, K, j] -= W[k, j] * (Z[k, j] - mean[j])
    if not second:
        return
    row = K * (K + 1) // 2
    for k in range(K):
        for j in range(B):
            z, s = Z[k, j], W[k, j]
            a = q[k, j] * s
            turn = a * (z - mean[j]) - s * along[j] + A[j] * s * (2.0 * mean[j] - z) + a - A[j] * s
            S[row + k, j] -= inverse * turn
            S[row + K, j] += z * turn
