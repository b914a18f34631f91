"""Noisy top-K gate: the largest of noisy logits share a row, averaged over the noise.

    pi_k(x) = E softmax_k(top-K of u(x) + s eps),    eps_1, ..., eps_K independent standard normal

round the logits u of any inner gate, with a scale s of the noise (Shazeer et al. 2017, sec. 2.1, whose scales differ
and depend on the covariates). The selection blurs at its switching surfaces, so the expectation has derivatives, that
in the scale among them.

An average over plain draws would jump wherever a draw switches. Here each expert's own noise is integrated given the
others': with the others' noisy logits, t the n-th largest of them and L the logarithm of the sum of exponentials of
the n - 1 larger ones, expert k is active with probability p = Phi((u_k - t) / s), and then has a noisy logit h that
is drawn from the truncated law by inversion; the average of p / (1 + exp(L - h)) has the same expectation and is
smooth (the device of Geweke, Hajivassiliou and Keane for probit probabilities). Averages are divided by their sum,
which they have to one up to the error of the draws.

As the scale tends to zero it becomes the top-K gate; with one active expert it is a probit of utilities u.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import pi, sqrt
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from moestat.component import Dims
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.averaged import SWITCHED_OFF, Averaged, less_products, uniform_draws
from moestat.gates.topk import active_of, check_active
from moestat.kernels import jit, vexp, vlog
from moestat.kernels.compile import jit_inline
from moestat.kernels.tail import bell, tail_ratio
from moestat.params import POSITIVE, Layout, axes, layout_of, parameters, part
from moestat.typing import FloatArray, IntArray

#: Density of the standard normal distribution at zero, and how far out its tail is no double any more.
NORMAL_TOP = 1.0 / sqrt(2.0 * pi)
FAR = 38.0

#: Scale that a search begins with, where it is estimated, in logits.
START_SCALE = 0.5


@parameters
class NoisyTopKParams:
    """The inner gate's record and the standard deviation s of the noise, in logits."""

    inner: Any = part()
    scale: FloatArray = axes(support=POSITIVE, label="noise")


@dataclass(frozen=True)
class NoisyTopK(Averaged):
    """Weights of the n_active largest noisy logits, averaged over draws of normal noise that all rows share.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.
    n_active : int, optional
        How many experts share a row; 2 when left out, or 1 where there is but one.
    scale : float, optional
        Standard deviation of the noise, in logits, to hold; estimated when left out.
    n_draws : int
        Number of draws of the noise, a power of two.
    seed : int
        Where they come from.

    References
    ----------
    Shazeer et al. (2017), Outrageously large neural networks: the sparsely-gated mixture-of-experts layer,
    arXiv 1701.06538.
    Hajivassiliou, McFadden and Ruud (1996), Simulation of multivariate normal rectangle probabilities and their
    derivatives, Journal of Econometrics 72.
    """

    n_active: int | None = None
    scale: float | None = None
    n_draws: int = field(default=16, kw_only=True)

    name: ClassVar[str] = "noisy_topk"
    least: ClassVar[float] = 0.01
    limit: ClassVar[str] = "the noise falls, towards the topk gate"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_active(self.n_active)
        s = self.scale
        number = isinstance(s, int | float | np.integer | np.floating) and not isinstance(s, bool)
        if s is not None and not (number and np.isfinite(s) and s > 0):
            raise InputError(
                f"scale must be a finite number larger than 0, the noise's standard deviation in logits, or None to "
                f"estimate it; got {s!r}. Without noise it is the topk gate."
            )

    @property
    def n_own(self) -> int:
        return int(self.scale is None)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        # where ranks among the others change, a draw's weights have a kink
        return False

    def layout(self, dims: Dims) -> Layout:
        n, inner = active_of(self.n_active, dims.n_experts), self.inner.layout(dims)
        if self.scale is not None:
            return inner
        if n == 1 and dims.n_experts > 1 and self.inner.dilation(inner) is not None:
            raise InputError(
                "with one active expert only the ratio of logits and noise is determined, as in a probit model. Hold "
                "the noise: scale=1.0, or let more experts be active."
            )
        return layout_of(NoisyTopKParams, {}, inner=inner)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        inner = super().start(layout, block, resp, schema)
        return inner if self.scale is not None else layout.build(inner=inner, scale=START_SCALE)

    # ------------------------------------------------------------------------------- averages
    def _scale(self, own: FloatArray) -> float:
        return float(np.exp(np.clip(own[0], -20.0, 20.0))) if self.scale is None else float(self.scale)

    def log_weights(self, U: FloatArray, own: FloatArray, out: FloatArray) -> None:
        noise, upper = self._draws(len(U))
        none = np.empty((0, U.shape[1]))
        _average(U, noise, upper, self._scale(own), active_of(self.n_active, len(U)), False, U, out, none[None], none)

    def derivatives(
        self, U: FloatArray, own: FloatArray, value: FloatArray, weights: FloatArray, G: FloatArray, S: FloatArray
    ) -> None:
        noise, upper = self._draws(len(U))
        # the second ones of the average are had times pi / average, the divisor's among them
        q, W = np.empty_like(U), np.empty_like(U)
        _shared_out(value, weights, q)
        n = active_of(self.n_active, len(U))
        _average(U, noise, upper, self._scale(own), n, bool(own.size), q, W, G, S)
        _divided(W, weights, G, S)

    def chances(self, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
        """Probability of being among the n_active largest, averaged over the others' noise."""
        _, _, U, own = self._inside(local, block)
        K, scale = len(U), self._scale(own)
        n = active_of(self.n_active, K)
        if n == K:
            return np.ones_like(U)
        np.maximum(U, SWITCHED_OFF, out=U)
        noisy = U[:, None, :] + scale * normal_draws(self.n_draws, K, self.seed).T[:, :, None]  # (K, draws, B)
        bars = (np.sort(np.delete(noisy, k, axis=0), axis=0)[K - 1 - n] for k in range(K))
        chance = np.stack([ndtr((u - bar) / scale).mean(axis=0) for u, bar in zip(U, bars, strict=True)])
        return np.asarray(chance * (n / chance.sum(axis=0)))

    def _draws(self, n_experts: int) -> tuple[FloatArray, FloatArray]:
        """Draws (n_draws, K) of the noise, and the probabilities that noise is larger."""
        noise = normal_draws(self.n_draws, n_experts, self.seed)
        return noise, ndtr(-noise)


@lru_cache(maxsize=32)
def normal_draws(n_draws: int, n_experts: int, seed: int) -> FloatArray:
    """Draws (n_draws, n_experts) of the standard normal distribution."""
    draws: FloatArray = ndtri(uniform_draws(n_draws, n_experts, seed))
    draws.setflags(write=False)
    return draws


# --------------------------------------------------------------------------------------- kernels

#: Weights no larger than this, or its logarithm, count as zero.
NOTHING = 1e-290
LEAST = -667.0


@jit
def _shared_out(value: FloatArray, weights: FloatArray, q: FloatArray) -> None:
    """q = weights / pi - sum of weights."""
    K, B = value.shape
    total = np.zeros(B)
    for k in range(K):
        for j in range(B):
            total[j] += weights[k, j]
    for k in range(K):
        for j in range(B):
            q[k, j] = (weights[k, j] / vexp(value[k, j]) if value[k, j] > LEAST else 0.0) - total[j]


@jit
def _average(
    U: FloatArray,
    noise: FloatArray,
    upper: FloatArray,
    scale: float,
    n: int,
    own: bool,
    q: FloatArray,
    W: FloatArray,
    G: FloatArray,
    S: FloatArray,
) -> None:
    """Sums of weights over draws, and derivatives in U and log scale.

    Where G (K, K + p, B) has room, W (K, B) are the sums, G their first derivatives, and the lower entries S of a
    symmetric matrix, where these have room, the second ones of sum_k q_k W_k. Where it has none, W are log weights.
    """
    (K, B), M, first, second = U.shape, noise.shape[0], G.shape[1] > 0, S.shape[0] > 0
    H, X, P, Q = np.empty((K, B)), np.empty((K, B)), np.empty((K, B)), np.zeros((K, B))
    I = np.empty((K, B), np.int64)
    V, C, R = np.empty((K + 1, B)), np.zeros((K + 1, B)), np.zeros(((K + 1) * (K + 2) // 2, B))
    cut, mass, hazard, e, rho = np.empty(B), np.empty(B), np.empty(B), np.empty(B), np.empty(B)
    total, middle, work = np.empty(B), np.empty(B), np.empty((5, B))
    W[:] = 0.0
    G[:] = 0.0
    S[:] = 0.0
    for m in range(M):
        _rank(U, noise[m], scale, min(n + 1, K), H, I)
        for a in range(K):
            h, x, p, r, i = H[a], X[a], P[a], Q[a], I[a]
            for j in range(B):
                x[j] = noise[m, i[j]]
                p[j] = upper[m, i[j]]
            if second:
                for j in range(B):
                    r[j] = q[i[j], j]
        if second:
            R[:] = 0.0
        for a in range(K):
            # the others' n - 1 largest share with it, and the n-th keeps it out
            t = n if a < n else n - 1
            lead = 1 if a == 0 else 0
            if t < K:
                _above(H[t], H[a], X[a], P[a], scale, n > 1, cut, mass, hazard, e, rho)
            else:
                for j in range(B):
                    cut[j] = 0.0
                    mass[j] = 1.0
                    hazard[j] = 0.0
                    e[j] = X[a, j]
                    rho[j] = 0.0
            total[:] = 0.0
            middle[:] = 0.0
            for b in range(min(t, n)):
                if b != a:
                    h, base, v = H[b], H[lead], V[b]
                    for j in range(B):
                        v[j] = vexp(h[j] - base[j])
                        total[j] += v[j]
            if n > 1:
                base, s = H[lead], work[0]
                for j in range(B):
                    other = total[j] * vexp(base[j] - (H[a, j] + scale * (e[j] - X[a, j])))
                    s[j] = 1.0 / (1.0 + other)
            else:
                work[0, :] = 1.0
            i, s = I[a], work[0]
            for j in range(B):
                W[i[j], j] += mass[j] * s[j]
            if not first:
                continue
            for b in range(min(t, n)):
                if b != a:
                    v, x = V[b], X[b]
                    for j in range(B):
                        v[j] /= -total[j]
                        middle[j] -= v[j] * scale * x[j]
            _of_one(H, X, a, t, K, scale, own, cut, mass, hazard, e, rho, middle, work, V, C)
            _book_first(I, a, t, n, own, V, C, work, G)
            if second:
                _book_second(X, a, t, n, own, scale, Q[a], cut, hazard, e, rho, middle, work, V, C, R)
        if second:
            _scatter(I, own, R, S)
    if not first:
        total[:] = 0.0
        for k in range(K):
            for j in range(B):
                total[j] += W[k, j]
        for k in range(K):
            o = W[k]
            for j in range(B):
                share = o[j] / total[j]
                o[j] = vlog(share) if share > NOTHING else -np.inf


@jit
def _rank(U: FloatArray, noise: FloatArray, scale: float, depth: int, H: FloatArray, I: IntArray) -> None:
    """Noisy logits H (K, B) and the experts I they belong to, the ``depth`` largest first and in order."""
    K, B = U.shape
    for k in range(K):
        for j in range(B):
            H[k, j] = U[k, j] + scale * noise[k]
            I[k, j] = k
    for a in range(min(depth, K - 1)):
        for b in range(K - 1, a, -1):
            h, g, i, l = H[b - 1], H[b], I[b - 1], I[b]
            for j in range(B):
                swap = g[j] > h[j]
                x, y, c, d = h[j], g[j], i[j], l[j]
                h[j] = y if swap else x
                g[j] = x if swap else y
                i[j] = d if swap else c
                l[j] = c if swap else d


@jit
def _above(
    bar: FloatArray,
    h: FloatArray,
    x: FloatArray,
    upper: FloatArray,
    scale: float,
    drawn: bool,
    cut: FloatArray,
    mass: FloatArray,
    hazard: FloatArray,
    e: FloatArray,
    rho: FloatArray,
) -> None:
    """Noise that lifts a logit above a bar: from ``cut`` on, with probability ``mass`` and the hazard there.

    Where it is drawn, e is the noise that is exceeded with probability ``upper`` given that, and rho = d e / d cut.
    """
    B = cut.size
    inverse = 1.0 / scale
    for j in range(B):
        c = (bar[j] - h[j]) * inverse + x[j]
        b, r = bell(c), tail_ratio(min(abs(c), FAR))
        beyond = b * r
        cut[j] = c
        mass[j] = beyond if c >= 0.0 else 1.0 - beyond
        hazard[j] = NORMAL_TOP / r if c >= 0.0 else NORMAL_TOP * b / (1.0 - beyond)
    if not drawn:
        for j in range(B):
            e[j] = 0.0
            rho[j] = 0.0
        return
    for j in range(B):
        level = upper[j] * mass[j]
        small = max(min(level, 1.0 - level), 1e-300)
        z = normal_quantile(small)
        b, r = bell(z), tail_ratio(min(z, FAR))
        gap = r / NORMAL_TOP - small / max(NORMAL_TOP * b, 1e-300)
        z += gap / (1.0 - 0.5 * z * gap)
        b, r = bell(z), tail_ratio(min(abs(z), FAR))
        beyond = b * r
        z = z if level < 0.5 else -z
        high = NORMAL_TOP / r if z >= 0.0 else NORMAL_TOP * b / (1.0 - beyond)
        e[j] = z
        rho[j] = hazard[j] / high


@jit_inline
def normal_quantile(a: float) -> float:
    """x with Phi(-x) = a, nearly, for a in [1e-300, 1/2]; Halley's step makes it full precision.

    With r = sqrt(-2 log a), r - x is a polynomial of degree 9 in 1 / (r + 3.75), which interpolates at Chebyshev
    nodes with an error of 2e-6.
    """
    r = sqrt(-2.0 * vlog(a))
    s = (1.0 / (r + 3.75) - 0.11365345524182378) / 0.08929291931003329
    s2 = s * s
    s4 = s2 * s2
    low = (0.516441018 + s * 0.457461505) + s2 * (0.110389098 + s * 0.0559723533)
    high = (0.0182507616 + s * 0.0111353744) + s2 * (0.00315200024 + s * 0.0014122407)
    x: float = r - (low + s4 * (high + s4 * (0.00136739881 + s * 0.00182609489)))
    return x


@jit
def _of_one(
    H: FloatArray,
    X: FloatArray,
    a: int,
    t: int,
    K: int,
    scale: float,
    own: bool,
    cut: FloatArray,
    mass: FloatArray,
    hazard: FloatArray,
    e: FloatArray,
    rho: FloatArray,
    middle: FloatArray,
    work: FloatArray,
    V: FloatArray,
    C: FloatArray,
) -> None:
    """What the weight f = mass(c) sigma(w) of the expert of rank a turns on: c and w, and derivatives of these.

    C and V (K + 1, B) hold those of the cut c and of w = u_a + scale e(c) - L in the logits by rank and, last, in the
    log scale. ``work`` holds sigma, then d f / d w, d f / d c by c alone and in all, and d2 f / dc dw.
    """
    B = cut.size
    inverse = 1.0 / scale
    s, of_w, of_c, in_all, both = work[0], work[1], work[2], work[3], work[4]
    for j in range(B):
        f = mass[j] * s[j]
        of_w[j] = f * (1.0 - s[j])
        of_c[j] = -hazard[j] * f
        in_all[j] = of_c[j] + of_w[j] * scale * rho[j]
        both[j] = -hazard[j] * of_w[j]
    V[a] = 1.0
    C[a] = 0.0
    if t < K:
        for j in range(B):
            C[a, j] = -inverse
            V[a, j] = 1.0 - rho[j]
            C[t, j] = inverse
            V[t, j] = rho[j]
    if own:
        for j in range(B):
            V[K, j] = scale * e[j] - middle[j]
        C[K] = 0.0
        if t < K:
            for j in range(B):
                C[K, j] = X[t, j] - cut[j]
                V[K, j] += scale * rho[j] * C[K, j]


@jit
def _book_first(
    I: IntArray, a: int, t: int, n: int, own: bool, V: FloatArray, C: FloatArray, work: FloatArray, G: FloatArray
) -> None:
    K, B = I.shape
    of_w, of_c, mine = work[1], work[2], I[a]
    for b in range(K):
        if b in (a, t):
            at, v, c = I[b], V[b], C[b]
            for j in range(B):
                G[mine[j], at[j], j] += of_w[j] * v[j] + of_c[j] * c[j]
        elif b < min(t, n):
            at, v = I[b], V[b]
            for j in range(B):
                G[mine[j], at[j], j] += of_w[j] * v[j]
    if own:
        v, c = V[K], C[K]
        for j in range(B):
            G[mine[j], K, j] += of_w[j] * v[j] + of_c[j] * c[j]


@jit
def _book_second(
    X: FloatArray,
    a: int,
    t: int,
    n: int,
    own: bool,
    scale: float,
    q: FloatArray,
    cut: FloatArray,
    hazard: FloatArray,
    e: FloatArray,
    rho: FloatArray,
    middle: FloatArray,
    work: FloatArray,
    V: FloatArray,
    C: FloatArray,
    R: FloatArray,
) -> None:
    """Add q times the second derivatives of f, by rank, to the lower entries R of a symmetric matrix.

    Those of the log-sum L of the others that share are diag(alpha) - alpha alpha' in their logits.
    """
    K, B = X.shape
    inverse = 1.0 / scale
    s, of_w, of_c, in_all, both = work[0], work[1], work[2], work[3], work[4]
    square, cross, bend = np.empty(B), np.empty(B), np.empty(B)
    for j in range(B):
        # coefficients of c c', c w' + w c' and w w'
        square[j] = q[j] * (-of_c[j] * cut[j] + of_w[j] * scale * rho[j] * (e[j] * rho[j] - cut[j]))
        cross[j] = q[j] * both[j]
        bend[j] = q[j] * of_w[j] * (1.0 - 2.0 * s[j])
    last = K + 1 if own else K
    for i in range(last):
        if not (i in (a, t, K) or i < min(t, n)):
            continue
        plain = i not in (a, t, K)
        v, c, x = V[i], C[i], X[min(i, K - 1)]
        for l in range(i + 1):
            if not (l in (a, t, K) or l < min(t, n)):
                continue
            o, y, d = R[i * (i + 1) // 2 + l], V[l], C[l]
            both_plain = l not in (a, t, K)
            if plain and both_plain:
                for j in range(B):
                    o[j] += (bend[j] + q[j] * of_w[j]) * v[j] * y[j]
                if i == l:
                    for j in range(B):
                        o[j] += q[j] * of_w[j] * v[j]
            elif plain:
                for j in range(B):
                    o[j] += v[j] * (cross[j] * d[j] + bend[j] * y[j])
            elif both_plain:
                for j in range(B):
                    o[j] += y[j] * (cross[j] * c[j] + bend[j] * v[j])
                if i == K:
                    x = X[l]
                    for j in range(B):
                        o[j] += q[j] * of_w[j] * y[j] * (scale * x[j] - middle[j])
            else:
                for j in range(B):
                    o[j] += square[j] * c[j] * d[j] + cross[j] * (c[j] * y[j] + v[j] * d[j]) + bend[j] * v[j] * y[j]
    if not own:
        return
    corner = K * (K + 1) // 2
    if t < K:
        for b, sign in ((a, 1.0), (t, -1.0)):
            o = R[corner + b]
            for j in range(B):
                o[j] += sign * inverse * q[j] * (in_all[j] - of_w[j] * scale * rho[j])
        o, c = R[corner + K], C[K]
        for j in range(B):
            o[j] += q[j] * (-in_all[j] * c[j] + 2.0 * of_w[j] * scale * rho[j] * c[j])
    o = R[corner + K]
    for j in range(B):
        o[j] += q[j] * of_w[j] * (scale * e[j] + middle[j] * middle[j] - middle[j])
    for b in range(min(t, n)):
        if b != a:
            v, x = V[b], X[b]
            for j in range(B):
                o[j] += q[j] * of_w[j] * v[j] * scale * scale * x[j] * x[j]


@jit
def _scatter(I: IntArray, own: bool, R: FloatArray, S: FloatArray) -> None:
    """Add entries by rank to entries by expert."""
    K, B = I.shape
    for i in range(K):
        for l in range(i + 1):
            r, f, g = R[i * (i + 1) // 2 + l], I[i], I[l]
            for j in range(B):
                high, low = max(f[j], g[j]), min(f[j], g[j])
                S[high * (high + 1) // 2 + low, j] += r[j]
    if own:
        row = K * (K + 1) // 2
        for i in range(K):
            r, f = R[row + i], I[i]
            for j in range(B):
                S[row + f[j], j] += r[j]
        for j in range(B):
            S[row + K, j] += R[row + K, j]


@jit
def _divided(W: FloatArray, weights: FloatArray, G: FloatArray, S: FloatArray) -> None:
    """Derivatives of log (W / sum W) out of those of W; S out of those of sum_k q_k W_k."""
    (K, B), m = W.shape, G.shape[1]
    total, T, Y = np.zeros(B), np.zeros((m, B)), np.zeros((m, B))
    for k in range(K):
        for j in range(B):
            total[j] += W[k, j]
    for i in range(m):
        t = T[i]
        for k in range(K):
            g = G[k, i]
            for j in range(B):
                t[j] += g[j]
        for j in range(B):
            t[j] /= total[j]
        for k in range(K):
            g, y, w, r = G[k, i], Y[i], W[k], weights[k]
            for j in range(B):
                g[j] = g[j] / w[j] - t[j] if w[j] > NOTHING * total[j] else 0.0
                y[j] += r[j] * g[j]
    if S.shape[0] == 0:
        return
    at = 0
    for i in range(m):
        for l in range(i + 1):
            s, t, y, u, z = S[at], T[i], Y[i], T[l], Y[l]
            for j in range(B):
                s[j] = s[j] / total[j] - t[j] * z[j] - y[j] * u[j]
            at += 1
    less_products(weights, G, S)
