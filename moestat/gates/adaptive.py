"""Adaptive temperature: sharper or flatter where the weights themselves are.

    h_k(x) = u_k(x) / tau(x),    log tau(x) = log tau_0 + a (H(x) - log K),
    H = - sum_l rho_l log rho_l,    rho = softmax(u)

with the logits u of any inner gate and the entropy H, in nats, of its weights at temperature one; tau_0 is the
temperature where these are equal and H is largest. With a < 0 rows on which the inner gate is undecided get the
sharper weights. That a temperature follows the entropy is the proposal of Velickovic et al. (2024, arXiv 2410.01104),
who fix a polynomial of H; the form with a parameter a that is estimated is moestat's own. As H changes with the scale
of u the temperature is identified, except at a = 0. Data may ask for a limit, u = 0 and a infinite, where log tau is a
quadratic form of the inner logits; a fit goes there as far as tau_0 = 0.001, and the certificate says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from moestat.buffers import Buffers
from moestat.charts import Chart
from moestat.component import Dilation, Dims, Gate
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gate_information import Division, Forms, GateInformation, information_of, lower_forms
from moestat.gates.constant import Constant
from moestat.gates.nested import SOFTMAX, check_inner, jacobian, pulled
from moestat.gates.softmax import Softmax
from moestat.gates.wrapper import Wrapper
from moestat.kernels import jit, vexp, vlog
from moestat.kernels.information import add_pair_products
from moestat.kernels.linear import contract
from moestat.params import POSITIVE, Layout, axes, layout_of, parameters, part, shared_columns
from moestat.totals import Additive, Total, up4
from moestat.typing import FloatArray, IntArray

#: A temperature that stands for zero: closer to it the entropy of the nearly equal weights is lost in rounding.
LEAST_TEMPERATURE = 1e-3

#: Logarithms of the temperature go no further: fourth powers of logits divided by it still are numbers.
EXTREME = 100.0

#: What the gate is there.
LIMIT = "inner logits and temperature shrink together, towards a logarithm of it that is quadratic in the logits"


@parameters
class AdaptiveTemperatureParams:
    """The inner gate's record, the temperature tau_0 where the inner weights are equal, and the slope a per nat."""

    inner: Any = part()
    temperature: FloatArray = axes(support=POSITIVE, label="temperature")
    entropy: FloatArray = axes(label="entropy")


class Row(NamedTuple):
    """What logits are made of: u (K, B) with 0 for -inf, 1 / tau (B,), rho, log rho + H, H - log K, a."""

    u: FloatArray
    inverse: FloatArray
    share: FloatArray
    excess: FloatArray
    entropy: FloatArray
    slope: float


@dataclass(frozen=True)
class AdaptiveTemperature(Wrapper):
    """Weights softmax(u / tau) with a temperature that depends on the entropy of softmax(u).

    The entropy ties every weight to every logit, so each row of ``columns`` lists all parameters.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.

    References
    ----------
    Velickovic, Perivolaropoulos, Barbero and Pascanu (2024), softmax is not enough (for sharp out-of-distribution),
    arXiv 2410.01104.
    """

    inner: Gate = SOFTMAX
    # of the bound gate
    places: IntArray | None = field(default=None, repr=False, compare=False)

    name: ClassVar[str] = "adaptive_temperature"

    def __post_init__(self) -> None:
        check_inner(self.name, "inner", self.inner)
        if isinstance(self.inner, Constant):
            raise InputError(
                "inner must be a gate with covariates; got a constant one, whose entropy is the same in every row, so "
                "that a temperature by entropy says nothing. Use the constant gate itself."
            )

    @property
    def n_own(self) -> int:
        return 2

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        return layout_of(AdaptiveTemperatureParams, {}, inner=self.inner.layout(dims))

    def columns(self, layout: Layout) -> IntArray:
        return shared_columns(len(self.inner.columns(layout.part("inner"))), np.arange(layout.size))

    def bind(self, layout: Layout) -> AdaptiveTemperature:
        inner = layout.part("inner")
        return replace(self, inner=self.inner.bind(inner), places=self.inner.columns(inner))

    def concerns(self, spread: FloatArray) -> tuple[str, ...]:
        return self.blurs(spread)  # of the inner gate's logits the temperature is the unit

    # ------------------------------------------------------------------------------- ties
    def closest(self, local: FloatArray, block: Block) -> tuple[FloatArray, IntArray, IntArray]:
        return self.inner.closest(local[0, self.places], block)

    def tie(self, local: FloatArray, block: Block, on: int, off: int) -> tuple[float, FloatArray]:
        margin, own = self.inner.tie(local[0, self.places], block, on, off)
        slope = np.zeros(local.shape)
        assert self.places is not None
        np.add.at(slope[0], self.places, own)
        return margin, slope

    def ties(self, local: FloatArray, block: Block, within: float) -> list[tuple[int, int]]:
        return self.inner.ties(local[0, self.places], block, within)

    # ------------------------------------------------------------------------------- logits
    def _at(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray, Row]:
        """The inner gate's local parameters and logits, and what is made of them."""
        inner, B = local[0, self.places], block.weight.size
        K = len(inner)
        value, u, share, excess = np.empty((4, K, B))
        inverse, entropy = np.empty((2, B))
        self.inner.value(inner, block, value)
        level, slope = local[0, -2:]
        _rows(value, level, slope, u, share, excess, entropy, inverse)
        return inner, value, Row(u, inverse, share, excess, entropy, slope)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, value, row = self._at(local, block)
        np.multiply(value, row.inverse, out=out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        inner, logits, row = self._at(local, block)
        _jac(jacobian(self.inner, inner, block, logits), self.places, row, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        inner, logits, row = self._at(local, block)
        assert self.places is not None
        below, own = np.empty_like(weights), out[0]
        _pull(weights, row, below, own)
        np.add.at(own, self.places, pulled(self.inner, inner, block, logits, below))

    def forms(self, columns: IntArray) -> Forms | None:
        """The logits of an inner softmax gate, log tau_0 and a; the last two have the first feature, a one."""
        if not isinstance(self.inner, Softmax):
            return None
        assert self.places is not None
        own = np.full((2, self.places.shape[1]), -1)
        own[:, 0] = columns[0, -2:]
        return Forms(np.vstack([self.places, own]), lower_forms(len(columns) + 2))

    def form_features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def form_weights(self, local: FloatArray, tile: Division, first: FloatArray, second: FloatArray) -> None:
        _form_weights(self._at(local, tile.block)[2], tile.share, tile.mass, tile.gap, first, second)

    def information(self, columns: IntArray, theta: FloatArray) -> GateInformation | None:
        return None if isinstance(self.inner, Softmax) else Coupled(self, columns, theta)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        # minus the information of weights without mass; booked on the first expert, as all have the same columns
        columns = shared_columns(len(local), np.arange(local.shape[1]))
        total, none = information_of(self, columns, local[0]), np.zeros_like(weights)
        total.add(Division(block, value, none, none[0], weights, Buffers()))
        out[0] -= total.matrix

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> AdaptiveTemperatureParams:
        inner = self.inner.start(layout.part("inner"), block, resp, schema)
        return AdaptiveTemperatureParams(inner=inner, temperature=np.ones(()), entropy=np.zeros(()))

    # ------------------------------------------------------------------------------- what is not identified
    def dilation(self, layout: Layout) -> Dilation | None:
        shift = np.zeros(layout.size)
        shift[-2] = -1.0
        return Dilation(np.zeros(layout.size, dtype=bool), shift)

    def chart(self, layout: Layout) -> Chart:
        # at the limit log tau is quadratic in u / tau_0, so that a grows like tau_0 to the power of minus two
        ray = self.inner.dilation(layout.part("inner"))
        if ray is None or not ray.scaled.all():
            return super().chart(layout)
        powers = np.append(np.ones(layout.size - 2), [0.0, -2.0])
        return Chart(np.eye(layout.size), powers, layout.size - 2, float(np.log(LEAST_TEMPERATURE)), LIMIT)


class Coupled(Additive):
    """Score and information over an inner gate of any kind: weights of pairs times products of its Jacobians."""

    def __init__(self, gate: AdaptiveTemperature, columns: IntArray, theta: FloatArray) -> None:
        assert gate.places is not None
        self._gate, self._places, self._local, self._size = gate, gate.places, theta[columns], theta.size
        K, q = self._places.shape
        self._n = K * (K + 1) // 2
        self._total = Total((K, q), (2,), (self._n, up4(q), up4(q)), (2, K, q), (3,), (K, q, q))

    def add(self, tile: Division) -> None:
        gate, n, (K, q), B = self._gate, self._n, self._places.shape, tile.mass.size
        score, own, pairs, cross, corner, bend = self._total.parts
        local, logits, row = gate._at(self._local, tile.block)
        first, second = tile.buffers.get("slopes", K + 2, B), tile.buffers.get("bends", n + 2 * K + 3, B)
        _form_weights(row, tile.share, tile.mass, tile.gap, first, second)
        J, rows = tile.buffers.jacobian("inner", 1 if gate.inner.known_features else K, q, B)
        gate.inner.jac_and_curv(local, tile.block, logits, first[:K], J, bend)
        contract(first[:K], J, score)
        own += first[K:].sum(axis=1)
        add_pair_products(second, rows, q, tile.buffers.get("scaled", up4(q), B), pairs)
        contract(second[n : n + K], J, cross[0])
        contract(second[n + K + 1 : n + 2 * K + 1], J, cross[1])
        corner += second[[n + K, -2, -1]].sum(axis=1)
        self._total.take()

    @property
    def score(self) -> FloatArray:
        out, (inner, own, *_) = np.zeros(self._size), self._total.values
        np.add.at(out, self._places, inner)
        out[-2:] += own
        return out

    @property
    def matrix(self) -> FloatArray:
        places, (_, q) = self._places, self._places.shape
        _, _, pairs, cross, corner, bend = self._total.values
        out = np.zeros((self._size, self._size))
        for pair, k, l in zip(pairs[:, :q, :q], *np.tril_indices(len(places)), strict=True):
            np.add.at(out, (places[k][:, None], places[l]), pair)
            if l < k:
                np.add.at(out, (places[l][:, None], places[k]), pair.T)
        np.add.at(out, (places[:, :, None], places[:, None, :]), -bend)
        for at, each in zip((-2, -1), cross, strict=True):
            np.add.at(out[at], places, each)
        out[:-2, -2:] = out[-2:, :-2].T
        out[-2:, -2:] = corner[[[0, 1], [1, 2]]]
        return out


# --------------------------------------------------------------------------------------- kernels


@jit
def _rows(
    V: FloatArray,
    level: float,
    slope: float,
    u: FloatArray,
    share: FloatArray,
    excess: FloatArray,
    entropy: FloatArray,
    inverse: FloatArray,
) -> None:
    """rho = softmax(V), log rho + H where rho is not zero, H - log K and 1 / tau; u is V with 0 for -inf."""
    K, B = V.shape
    top, total = np.empty(B), np.zeros(B)
    top[:] = V[0]
    for k in range(1, K):
        v = V[k]
        for j in range(B):
            top[j] = max(top[j], v[j])
    for k in range(K):
        v = V[k]
        s = share[k]
        for j in range(B):
            s[j] = vexp(v[j] - top[j])
            total[j] += s[j]
    for j in range(B):
        top[j] += vlog(total[j])
        total[j] = 1.0 / total[j]
        entropy[j] = 0.0
    for k in range(K):
        v, s, x, o = V[k], share[k], excess[k], u[k]
        for j in range(B):
            on = v[j] > -np.inf
            o[j] = v[j] if on else 0.0
            x[j] = v[j] - top[j] if on else 0.0
            s[j] *= total[j]
        for j in range(B):
            entropy[j] -= s[j] * x[j]
    largest = np.log(K)
    for k in range(K):
        x = excess[k]
        for j in range(B):
            x[j] += entropy[j]
    for j in range(B):
        entropy[j] -= largest
        inverse[j] = vexp(min(max(-level - slope * entropy[j], -EXTREME), EXTREME))


@jit
def _of_log_tau(row: Row, k: int, out: FloatArray) -> None:
    """Derivative of log tau in u_k: that of the entropy is - rho_k (log rho_k + H)."""
    s, x = row.share[k], row.excess[k]
    for j in range(out.size):
        out[j] = -row.slope * s[j] * x[j]


@jit
def _jac(J: FloatArray, places: IntArray, row: Row, out: FloatArray) -> None:
    K, B = row.share.shape
    shared = J.shape[0] == 1
    P = out.shape[1]
    along = np.zeros((P - 2, B))
    turn, minus = np.empty(B), np.empty(B)
    for k in range(K):
        _of_log_tau(row, k, turn)
        for a in range(places.shape[1]):
            x = J[0 if shared else k, a]
            o = along[places[k, a]]
            for j in range(B):
                o[j] += turn[j] * x[j]
    for k in range(K):
        u = row.u[k]
        for j in range(B):
            minus[j] = -u[j] * row.inverse[j]
        for p in range(P - 2):
            x, o = along[p], out[k, p]
            for j in range(B):
                o[j] = minus[j] * x[j]
        for a in range(places.shape[1]):
            x, o = J[0 if shared else k, a], out[k, places[k, a]]
            for j in range(B):
                o[j] += row.inverse[j] * x[j]
        out[k, P - 2] = minus
        o = out[k, P - 1]
        for j in range(B):
            o[j] = minus[j] * row.entropy[j]


@jit
def _pull(c: FloatArray, row: Row, below: FloatArray, out: FloatArray) -> None:
    """below: what pulls the inner logits; out[-2:] loses sum c h and sum c h (H - log K)."""
    K, B = c.shape
    total = np.zeros(B)
    for k in range(K):
        w, u = c[k], row.u[k]
        for j in range(B):
            total[j] += w[j] * u[j] * row.inverse[j]
    for k in range(K):
        w, o = c[k], below[k]
        _of_log_tau(row, k, o)
        for j in range(B):
            o[j] = row.inverse[j] * w[j] - total[j] * o[j]
    level = 0.0
    slope = 0.0
    for j in range(B):
        level += total[j]
        slope += total[j] * row.entropy[j]
    out[-2] -= level
    out[-1] -= slope


@jit
def _form_weights(
    row: Row, PI: FloatArray, mass: FloatArray, gap: FloatArray, first: FloatArray, second: FloatArray
) -> None:
    """Derivatives of Q in u, log tau_0 and a, and minus the second ones.

    With t = d log tau, S = sum gap h, V = Var(h) by pi and b_k = (w pi_k (h_k - mean h) - gap_k) / tau:

        (gap / tau, 0, 0) - S t    and    w (diag pi - pi pi') / tau^2 - b t' - t b' + (w V - S) t t' + S d2 log tau.
    """
    K, B = PI.shape
    mean, total, spread = np.zeros(B), np.zeros(B), np.zeros(B)
    h, t, b = np.empty((K, B)), np.empty((K, B)), np.empty((K, B))
    for k in range(K):
        u, p, c, v = row.u[k], PI[k], gap[k], h[k]
        for j in range(B):
            v[j] = u[j] * row.inverse[j]
        for j in range(B):
            mean[j] += p[j] * v[j]
        for j in range(B):
            total[j] += c[j] * v[j]
    for k in range(K):
        p, c, v, o, f = PI[k], gap[k], h[k], b[k], first[k]
        _of_log_tau(row, k, t[k])
        turn = t[k]
        for j in range(B):
            away = v[j] - mean[j]
            weighted = mass[j] * p[j] * away
            spread[j] += weighted * away
            o[j] = row.inverse[j] * (weighted - c[j])
        for j in range(B):
            f[j] = row.inverse[j] * c[j] - total[j] * turn[j]
    for j in range(B):
        spread[j] -= total[j]
    at = 0
    for k in range(K):
        for l in range(k + 1):
            _pair(row, PI, mass, k, l, t, b, spread, total, second[at])
            at += 1
    level, slope = second[at : at + K + 1], second[at + K + 1 :]
    for k in range(K):
        turn, o = t[k], b[k]
        s, x = row.share[k], row.excess[k]
        low, high = level[k], slope[k]
        for j in range(B):
            low[j] = spread[j] * turn[j] - o[j]
        for j in range(B):
            high[j] = low[j] * row.entropy[j] - total[j] * s[j] * x[j]
    level[K] = spread
    cross, square, down, along = slope[K], slope[K + 1], first[K], first[K + 1]
    for j in range(B):
        cross[j] = spread[j] * row.entropy[j]
        square[j] = cross[j] * row.entropy[j]
        down[j] = -total[j]
        along[j] = -total[j] * row.entropy[j]


@jit
def _pair(
    row: Row,
    PI: FloatArray,
    mass: FloatArray,
    k: int,
    l: int,
    t: FloatArray,
    b: FloatArray,
    spread: FloatArray,
    total: FloatArray,
    out: FloatArray,
) -> None:
    """The entry of two inner logits; d2 H = rho_k rho_l (e_k + e_l + 1), less rho_k (e_k + 1) where they are one."""
    p, q, s, r, x, y = PI[k], PI[l], row.share[k], row.share[l], row.excess[k], row.excess[l]
    tk, tl, bk, bl = t[k], t[l], b[k], b[l]
    same = 1.0 if k == l else 0.0
    for j in range(out.size):
        out[j] = mass[j] * row.inverse[j] * row.inverse[j] * p[j] * (same - q[j])
    for j in range(out.size):
        out[j] += spread[j] * tk[j] * tl[j] - bk[j] * tl[j] - tk[j] * bl[j]
    for j in range(out.size):
        bend = s[j] * (r[j] * (x[j] + y[j] + 1.0) - same * (x[j] + 1.0))
        out[j] += row.slope * total[j] * bend
