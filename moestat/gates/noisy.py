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
from scipy.special import ndtri

from moestat.component import Dims
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.averaged import Averaged, uniform_draws
from moestat.gates.topk import active_of, check_active
from moestat.kernels import jit, vexp, vlog
from moestat.kernels.compile import jit_exact
from moestat.kernels.tail import bell, tail_ratio
from moestat.params import POSITIVE, Layout, axes, layout_of, parameters, part
from moestat.typing import FloatArray, IntArray

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
        K = len(U)
        noise = normal_draws(self.n_draws, K, self.seed)
        _average(U, noise, self._scale(own), active_of(self.n_active, K), out, np.empty((K, 0, U.shape[1])))

    def slopes(self, U: FloatArray, own: FloatArray, out: FloatArray) -> None:
        K = len(U)
        noise, W = normal_draws(self.n_draws, K, self.seed), np.empty_like(U)
        _average(U, noise, self._scale(own), active_of(self.n_active, K), W, out)


@lru_cache(maxsize=32)
def normal_draws(n_draws: int, n_experts: int, seed: int) -> FloatArray:
    """Draws (n_draws, n_experts) of the standard normal distribution."""
    draws: FloatArray = ndtri(uniform_draws(n_draws, n_experts, seed))
    draws.setflags(write=False)
    return draws


# --------------------------------------------------------------------------------------- kernels

NORMAL_TOP = 1.0 / sqrt(2.0 * pi)


@jit_exact
def _tail(x: float) -> float:
    """Phi(-x)."""
    far = bell(x) * tail_ratio(abs(x))
    mass: float = far if x >= 0.0 else 1.0 - far
    return mass


@jit_exact
def _quantile(a: float) -> float:
    """x with Phi(-x) = a, for a in (0, 1): a rational start, and Halley's steps to full precision."""
    small = min(a, 1.0 - a)
    r = sqrt(-2.0 * vlog(max(small, 1e-300)))
    x = r - (2.515517 + r * (0.802853 + r * 0.010328)) / (1.0 + r * (1.432788 + r * (0.189269 + r * 0.001308)))
    for _ in range(2):
        density = NORMAL_TOP * bell(x)
        gap = (_tail(x) - small) / max(density, 1e-300)
        x += gap / (1.0 + 0.5 * x * gap)
    return x if a < 0.5 else -x


@jit
def _average(U: FloatArray, noise: FloatArray, scale: float, n: int, out: FloatArray, G: FloatArray) -> None:
    """out (K, B) = log of the average weights; G (K, K + p, B) their derivatives in U, then in log scale.

    Without room in G (K, 0, B) no derivatives are taken.
    """
    K, B = U.shape
    M, wanted, own = noise.shape[0], G.shape[1] > 0, G.shape[1] > K
    h, order, weight, slope = np.empty(K), np.empty(K, np.int64), np.empty(K), np.empty((K, K + 1))
    along = np.empty(K)
    for j in range(B):
        weight[:] = 0.0
        slope[:] = 0.0
        for m in range(M):
            for l in range(K):  # by decreasing noisy logit
                h[l] = U[l, j] + scale * noise[m, l]
                at = l
                while at > 0 and h[order[at - 1]] < h[l]:
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = l
            for k in range(K):
                _one(U[k, j], k, h, order, noise[m], scale, n, wanted, weight, slope, along)
        total = 0.0
        for k in range(K):
            total += weight[k]
        for k in range(K):
            out[k, j] = vlog(weight[k] / total) if weight[k] > 1e-290 * total else -np.inf
        if wanted:
            for l in range(K + 1 if own else K):
                change = 0.0
                for k in range(K):
                    change += slope[k, l]
                for k in range(K):
                    G[k, l, j] = slope[k, l] / weight[k] - change / total if weight[k] > 1e-290 * total else 0.0


@jit
def _one(
    u: float,
    k: int,
    h: FloatArray,
    order: IntArray,
    noise: FloatArray,
    scale: float,
    n: int,
    wanted: bool,
    weight: FloatArray,
    slope: FloatArray,
    along: FloatArray,
) -> None:
    """Add one draw's weight of expert k, its own noise integrated, and the derivatives of that.

    The others' noisy logits h are known, and ``order`` ranks all. The own one lies above the n-th of the others.
    """
    K = h.size
    # the n - 1 largest of the others, and the n-th
    seen = 0
    threshold = -1
    top = -np.inf
    total = 0.0
    for i in range(K):
        l = order[i]
        if l == k:
            continue
        seen += 1
        if seen == n:
            threshold = l
            break
        top = h[l] if seen == 1 else top
        along[l] = vexp(h[l] - top)
        total += along[l]
    level = top + vlog(total) if n > 1 and seen > 0 and total > 0.0 else -np.inf
    p = 1.0
    cut = -np.inf
    own = noise[k]
    share = _tail(own)  # uniform, and the same for every row
    if threshold >= 0:
        cut = (h[threshold] - u) / scale
        p = _tail(cut)
        if not p > 1e-300:
            return
        own = _quantile(share * p)
    value = u + scale * own
    s = 1.0 / (1.0 + vexp(level - value)) if level > -np.inf else 1.0
    weight[k] += p * s
    if not wanted:
        return
    turn = p * s * (1.0 - s)
    slope[k, k] += turn
    slope[k, K] += turn * scale * own
    if level > -np.inf:
        count = 0
        for i in range(K):
            l = order[i]
            if l in (k, threshold):
                continue
            count += 1
            if count >= n:
                break
            q = turn * along[l] / total
            slope[k, l] -= q
            slope[k, K] -= q * scale * noise[l]
    if threshold >= 0:
        # p and the own noise move with the cut
        density = NORMAL_TOP * bell(cut)
        push = -s * density + turn * scale * share * density / (NORMAL_TOP * bell(own))
        slope[k, threshold] += push / scale
        slope[k, k] -= push / scale
        slope[k, K] += push * (noise[threshold] - cut)
