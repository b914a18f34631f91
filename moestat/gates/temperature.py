"""Temperature: the dense-to-sparse gate.

    h_k(x) = u_k(x) / tau          pi = softmax(h)          [Nie et al. 2021; Nguyen, Akbarian and Ho 2024]

around the logits u of any inner gate. As tau tends to infinity the weights become equal, as it tends to zero the
expert with the largest logit takes all. The temperature may depend on the covariates, which is moestat's own form:

    tau(x) = tau_0 exp(a' x).

Where u is homogeneous in its parameters, as a softmax gate's logits are, the parameters (c u, c tau) have the same
weights for every c > 0. Along this ray the likelihood is exactly flat, and parameters converge more slowly than any
power of n: only beta / tau is determined. Its representative is tau = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dilation, Dims, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gate_information import Division, Forms, lower_forms
from moestat.gates.nested import SOFTMAX, check_inner, curved, is_number, jacobian, pulled
from moestat.gates.reading import Reading, read
from moestat.gates.softmax import Softmax
from moestat.gates.wrapper import relaxed_inside
from moestat.kernels import jit, vexp
from moestat.kernels.linear import linear_predictor, pull_linear, weighted_gram
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, part, shared_columns
from moestat.typing import FloatArray, IntArray

#: Held temperatures lie between this and its inverse; far beyond, second derivatives in the inner parameters overflow.
FURTHEST_TAU = 1e8


#: exp of more overflows in products of derivatives.
LARGEST_EXPONENT = 150.0


@parameters
class TemperatureParams:
    """The inner gate's record and one temperature tau for all experts."""

    inner: Any = part()
    temperature: FloatArray = axes(support=POSITIVE, label="temperature")


@parameters
class ConditionalTemperatureParams:
    """The inner gate's record, the temperature tau_0 at x = 0, and the slopes a (d,) of its logarithm."""

    inner: Any = part()
    temperature: FloatArray = axes(support=POSITIVE, label="temperature")
    log_slopes: FloatArray = axes("feature", label="log_temperature")


@dataclass(frozen=True)
class Temperature(Gate):
    """Weights softmax(u / tau) of an inner gate's logits u.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.
    tau : float, optional
        The temperature to hold, from 1e-8 to 1e8; estimated when left out. A gate with a held temperature has the
        parameters of its inner gate.
    depends_on : {"covariates"}, optional
        tau_0 exp(a'x) in place of one number. For a temperature that depends on the entropy of the weights see
        `AdaptiveTemperature`.

    References
    ----------
    Nie et al. (2021), EvoMoE: an evolutional mixture-of-experts training framework via dense-to-sparse gate,
    arXiv 2112.14397.
    Nguyen, Akbarian and Ho (2024), Is temperature sample efficient for softmax Gaussian mixture of experts?,
    arXiv 2401.13875.
    """

    inner: Gate = SOFTMAX
    tau: float | None = None
    depends_on: str | None = None

    name: ClassVar[str] = "temperature"

    def __post_init__(self) -> None:
        check_inner(self.name, "inner", self.inner)
        check_tau(self.tau)
        if self.depends_on not in (None, "covariates"):
            raise InputError(
                f"depends_on must be 'covariates' or None; got {self.depends_on!r}. For a temperature that depends on "
                "the entropy of the weights use the adaptive_temperature gate."
            )
        if self.depends_on is not None and self.tau is not None:
            raise InputError(f"tau={self.tau!r} holds the temperature, so that it depends on nothing; leave one out.")

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.inner.equivariant

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.inner.mixable

    @property
    def exchangeable(self) -> bool:  # type: ignore[override]
        return self.inner.exchangeable

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.inner.smooth

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        return self.inner.continuous

    @property
    def tells_ties(self) -> bool:
        return self.inner.tells_ties

    def relaxations(self, n_experts: int) -> tuple[Gate, ...]:
        return relaxed_inside(self, n_experts)

    def closest(self, local: FloatArray, block: Block) -> tuple[FloatArray, IntArray, IntArray]:
        return self.inner.closest(self._split(local, block)[0], block)

    def tie(self, local: FloatArray, block: Block, on: int, off: int) -> tuple[float, FloatArray]:
        inner, slope = self._split(local, block)[0], np.zeros(local.shape)
        margin, slope[:, : inner.shape[1]] = self.inner.tie(inner, block, on, off)
        return margin, slope

    def ties(self, local: FloatArray, block: Block, within: float) -> list[tuple[int, int]]:
        return self.inner.ties(self._split(local, block)[0], block, within)

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        inner = self.inner.layout(dims)
        if self.tau is not None:
            return inner
        record = TemperatureParams if self.depends_on is None else ConditionalTemperatureParams
        return layout_of(record, {"feature": dims.n_features}, inner=inner)

    def _inner(self, layout: Layout) -> Layout:
        """Layout of the inner gate, whose parameters come first."""
        return layout if self.tau is not None else layout.part("inner")

    def _own(self, layout: Layout) -> IntArray:
        """Flat positions of log tau_0 and of the slopes."""
        return np.arange(self._inner(layout).size, layout.size)

    def columns(self, layout: Layout) -> IntArray:
        inner = self.inner.columns(self._inner(layout))
        return own_columns(inner, shared_columns(len(inner), self._own(layout)))

    def predictors(self, layout: Layout) -> IntArray:
        inner = self.inner.predictors(self._inner(layout))
        if self.depends_on is None or not self.mixable:
            return inner
        own = self._own(layout)[None]
        return np.concatenate([inner, own]) if len(inner) else own

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        rows = self.inner.null_directions(self._inner(layout), relations)
        rows = np.pad(rows, ((0, 0), (0, self._own(layout).size)))
        if self.depends_on is None:
            return rows
        own = np.zeros((len(relations), layout.size))
        own[:, self._own(layout)] = relations
        return np.vstack([rows, own])

    def bind(self, layout: Layout) -> Temperature:
        return replace(self, inner=self.inner.bind(self._inner(layout)))

    def concerns(self, spread: FloatArray) -> tuple[str, ...]:
        return self.blurs(spread)  # of the inner gate's logits the temperature is the unit

    def blurs(self, spread: FloatArray) -> tuple[str, ...]:
        return self.inner.blurs(spread)

    def coordinates(self, moments: Affine) -> Affine:
        return self.inner.coordinates(moments)

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        if self.tau is not None:
            return self.inner.rescale(params, covariates)
        inner = self.inner.rescale(params.inner, covariates)
        if self.depends_on is None:
            return replace(params, inner=inner)
        temperature = params.temperature * np.exp(covariates.gain(params.log_slopes))
        return replace(params, inner=inner, temperature=temperature, log_slopes=covariates.slopes(params.log_slopes))

    # ------------------------------------------------------------------------------- logits
    def _split(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The inner gate's local parameters, the features (f, B) of log tau, and 1 / tau (B,)."""
        if self.tau is not None:
            return local, block.Z[:0], np.full(block.weight.size, 1.0 / self.tau)
        if self.depends_on is None:
            inverse = np.full(block.weight.size, np.exp(min(-local[0, -1], LARGEST_EXPONENT)))
            return np.ascontiguousarray(local[:, :-1]), block.Z[:1], inverse
        F, rows = block.Z, np.empty((1, block.weight.size))
        _inverse(np.ascontiguousarray(local[:1, -len(F) :]), F, rows)
        return np.ascontiguousarray(local[:, : -len(F)]), F, rows[0]

    def _logits(self, value: FloatArray, inverse: FloatArray) -> FloatArray:
        """The inner gate's, from one's own; a gate that is linear in its parameters does not look at them."""
        return value if self.inner.known_features else value / inverse

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        inner, _, inverse = self._split(local, block)
        self.inner.value(inner, block, out)
        out *= inverse

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        inner, F, inverse = self._split(local, block)
        _jac(jacobian(self.inner, inner, block, self._logits(value, inverse)), inverse, value, F, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        inner, F, inverse = self._split(local, block)
        q = inner.shape[1]
        out[:, :q] += pulled(self.inner, inner, block, self._logits(value, inverse), weights * inverse)
        if len(F):
            own = np.zeros((len(local), len(F)))
            pull_linear(_times(weights, value), F, own)
            out[:, q:] -= own

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        inner, F, inverse = self._split(local, block)
        q, logits, scaled = inner.shape[1], self._logits(value, inverse), weights * inverse
        out[:, :q, :q] += curved(self.inner, inner, block, logits, scaled)
        for u, feature in enumerate(F, start=q):
            cross = pulled(self.inner, inner, block, logits, scaled * feature if len(F) > 1 else scaled)
            out[:, :q, u] -= cross
            out[:, u, :q] -= cross
        if len(F):
            for each, target in zip(_times(weights, value), out, strict=True):
                weighted_gram(each, F, 1.0, q, target)

    def forms(self, columns: IntArray) -> Forms | None:
        """The predictors of a softmax gate, and log tau. One without covariates has the first feature, a one."""
        if not isinstance(self.inner, Softmax) or (self.depends_on is not None and self.inner.transform is not None):
            return None
        K, q = columns.shape
        if self.tau is not None:
            return Forms(columns, lower_forms(K))
        n = 1 if self.depends_on is None else q // 2
        own = np.full((1, q - n), -1)
        own[0, :n] = columns[0, q - n :]
        return Forms(np.vstack([columns[:, : q - n], own]), lower_forms(K + 1))

    def form_features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def form_weights(self, local: FloatArray, tile: Division, first: FloatArray, second: FloatArray) -> None:
        inverse = self._split(local, tile.block)[2]
        _form_weights(inverse, tile.logits, tile.share, tile.mass, tile.gap, self.tau is None, first, second)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        inner = self.inner.start(self._inner(layout), block, resp, schema)
        if self.tau is not None:
            return inner
        slopes = {} if self.depends_on is None else {"log_slopes": np.zeros(len(block.Z) - 1)}
        return layout.build(inner=inner, temperature=1.0, **slopes)

    # ------------------------------------------------------------------------------- what is not identified
    def dilation(self, layout: Layout) -> Dilation | None:
        if self.tau is not None:
            return self.inner.dilation(layout)
        shift = np.zeros(layout.size)
        shift[self._own(layout)[0]] = -1.0
        return Dilation(np.zeros(layout.size, dtype=bool), shift)

    def _ray(self, layout: Layout) -> Dilation | None:
        """What multiplies the inner logits, to be made up for by the temperature."""
        return None if self.tau is not None else self.inner.dilation(self._inner(layout))

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        own, ray = self._own(layout), self._ray(layout)
        out = theta.copy()
        inner = theta[: layout.size - own.size]
        if ray is not None:
            inner = ray.apply(inner, -theta[own[0]])
            out[own[0]] = 0.0
        out[: inner.size] = self.inner.canonical(self._inner(layout), inner)
        return out

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        inner, own, ray = self._inner(layout), self._own(layout), self._ray(layout)
        directions, names = self.inner.invariances(inner, theta[: inner.size])
        directions = np.pad(directions, ((0, 0), (0, own.size)))
        if ray is None:
            return directions, names
        along = np.zeros(layout.size)
        along[: inner.size] = ray.direction(theta[: inner.size])
        along[own[0]] = 1.0
        name = "common scale of the logits and their temperature"
        while name in names:  # a temperature of a temperature has a ray of its own
            name = f"{name}, once more"
        return np.vstack([directions, along]), (*names, name)

    def pinned(self, layout: Layout) -> IntArray:
        inner = self.inner.pinned(self._inner(layout))
        return inner if self._ray(layout) is None else np.append(inner, self._own(layout)[0])

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        inner = self._inner(layout)
        rows = np.pad(self.inner.constraints(inner, theta[: inner.size]), ((0, 0), (0, layout.size - inner.size)))
        return rows if self._ray(layout) is None else np.vstack([rows, np.eye(layout.size)[self._own(layout)[:1]]])

    def reading(self, layout: Layout, theta: FloatArray) -> Reading:
        """Parameters as they are, as the ratio beta / tau, and at length one on the ray.

        Parameters
        ----------
        layout : Layout
            Of this gate: ``model.layout(schema).part("gate")``.
        theta : ndarray (P,)
            Unconstrained parameters: ``layout.pack(params.gate)``.

        Raises
        ------
        InputError
            Where there is no ray: the temperature is held, or identified.
        """
        return read(self, layout, theta)

    def ray(self, layout: Layout) -> Dilation | None:
        inner = self._ray(layout)
        if inner is None or not inner.scaled.all():
            return None
        whole = inner.embedded(layout.size, 0)
        whole.shift[self._own(layout)[0]] = 1.0
        return whole

    # ------------------------------------------------------------------------------- labels
    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        return self.inner.order(mass, kinds)

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        own = self._inner(layout)
        return np.concatenate([self.inner.permute(own, theta[: own.size], order), theta[own.size :]])

    def copies(self, old: Layout, new: Layout, rng: np.random.Generator) -> IntArray:
        return self.inner.copies(self._inner(old), self._inner(new), rng)

    def enlarge(self, old: Layout, new: Layout, theta: FloatArray, copied: IntArray, split: float = 0.0) -> FloatArray:
        if split and self.depends_on is not None:
            raise InputError(
                "copies share no mass under a temperature that depends on covariates: no intercept makes up for them."
            )
        own = self._inner(old)
        tau = self.tau if self.tau is not None else float(np.exp(theta[own.size]))
        inner = self.inner.enlarge(own, self._inner(new), theta[: own.size], copied, split * tau)
        return np.concatenate([inner, theta[own.size :]])

    def adopt(self, layout: Layout, theta: FloatArray, child: int, parent: int) -> FloatArray:
        own = self._inner(layout)
        return np.concatenate([self.inner.adopt(own, theta[: own.size], child, parent), theta[own.size :]])


def check_tau(tau: Any) -> None:
    """Refuse a held temperature that is not a positive number, of a size with which doubles can divide logits."""
    if tau is not None and not (is_number(tau) and tau > 0):
        raise InputError(f"tau must be a finite number larger than zero, or None to estimate it; got {tau!r}.")
    if tau is not None and not 1.0 / FURTHEST_TAU <= tau <= FURTHEST_TAU:
        raise InputError(
            f"tau must lie between {1.0 / FURTHEST_TAU:g} and {FURTHEST_TAU:g}; got {tau!r}. With less the weights are "
            "steps, with more they are equal: use the constant gate, or leave tau out to estimate it."
        )


# --------------------------------------------------------------------------------------- kernels


def _times(weights: FloatArray, value: FloatArray) -> FloatArray:
    """Products (K, B), zero where an expert is switched off."""
    out = np.empty_like(weights)
    _products(weights, value, out)
    return out


@jit
def _products(weights: FloatArray, value: FloatArray, out: FloatArray) -> None:
    for k in range(out.shape[0]):
        w = weights[k]
        v = value[k]
        o = out[k]
        for j in range(o.size):
            o[j] = w[j] * v[j] if v[j] > -np.inf else 0.0


@jit
def _inverse(coef: FloatArray, F: FloatArray, out: FloatArray) -> None:
    linear_predictor(coef, F, out)
    o = out[0]
    for j in range(o.size):
        o[j] = vexp(min(-o[j], LARGEST_EXPONENT))


@jit
def _jac(J: FloatArray, inverse: FloatArray, value: FloatArray, F: FloatArray, out: FloatArray) -> None:
    q = J.shape[1]
    shared = J.shape[0] == 1
    for k in range(out.shape[0]):
        own = J[0 if shared else k]
        for a in range(q):
            x = own[a]
            o = out[k, a]
            for j in range(o.size):
                o[j] = x[j] * inverse[j]
        v = value[k]
        for u in range(F.shape[0]):
            x = F[u]
            o = out[k, q + u]
            for j in range(o.size):
                o[j] = -v[j] * x[j] if v[j] > -np.inf else 0.0


@jit
def _form_weights(
    inverse: FloatArray,
    H: FloatArray,
    share: FloatArray,
    mass: FloatArray,
    gap: FloatArray,
    free: bool,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """Derivatives of Q in the inner logits and log tau, and minus the second ones; i = 1 / tau, b = sum pi h.

    In u_k: i gap_k, w i^2 pi_k (1 - pi_k), of pairs - w i^2 pi_k pi_l. In log tau: - sum gap h, w Var(h) - sum gap h,
    with u_k i (gap_k - w pi_k (h_k - b)).
    """
    K, B = share.shape
    at = 0
    for k in range(K):
        p, c, f = share[k], gap[k], first[k]
        for j in range(B):
            f[j] = inverse[j] * c[j]
        for l in range(k):
            r = share[l]
            o = second[at + l]
            for j in range(B):
                o[j] = -mass[j] * inverse[j] * inverse[j] * p[j] * r[j]
        at += k
        o = second[at]
        for j in range(B):
            o[j] = mass[j] * inverse[j] * inverse[j] * p[j] * (1.0 - p[j])
        at += 1
    if not free:
        return
    mean = np.zeros(B)
    for k in range(K):
        p, h = share[k], H[k]
        for j in range(B):
            mean[j] += p[j] * h[j]
    slope, bend = first[K], second[at + K]
    slope[:] = 0.0
    bend[:] = 0.0
    for k in range(K):
        p, h, c, o = share[k], H[k], gap[k], second[at + k]
        for j in range(B):
            o[j] = inverse[j] * (c[j] - mass[j] * p[j] * (h[j] - mean[j]))
        for j in range(B):
            slope[j] -= c[j] * h[j]
        for j in range(B):
            bend[j] += mass[j] * p[j] * (h[j] - mean[j]) * (h[j] - mean[j])
    for j in range(B):
        bend[j] += slope[j]
