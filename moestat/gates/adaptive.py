"""Adaptive temperature: sharper or flatter where the weights themselves are.

    h_k(x) = u_k(x) / tau(x),    log tau(x) = log tau_0 + a (H(x) - log K),
    H = - sum_l rho_l log rho_l,    rho = softmax(u)

with the logits u of any inner gate and the entropy H, in nats, of its weights at temperature one; tau_0 is the
temperature where these are equal and H is largest. With a < 0 rows on which the inner gate is undecided get the
sharper weights. That a temperature follows the entropy is the proposal of Velickovic et al. (2024, arXiv 2410.01104),
who fix a polynomial of H; the form with a parameter a that is estimated is moestat's own. As H changes with the scale
of u the temperature is identified, except at a = 0. Data may ask for a limit, u = 0 and a infinite, where log tau is a
quadratic form of the inner logits; the certificate then says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from moestat.component import Dilation, Dims, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.constant import Constant
from moestat.gates.nested import SOFTMAX, check_inner, curved, jacobian
from moestat.params import POSITIVE, Layout, axes, layout_of, parameters, part, shared_columns
from moestat.typing import FloatArray, IntArray


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
class AdaptiveTemperature(Gate):
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

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        return layout_of(AdaptiveTemperatureParams, {}, inner=self.inner.layout(dims))

    def columns(self, layout: Layout) -> IntArray:
        return shared_columns(len(self.inner.columns(layout.part("inner"))), np.arange(layout.size))

    def predictors(self, layout: Layout) -> IntArray:
        return self.inner.predictors(layout.part("inner"))

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        return np.pad(self.inner.null_directions(layout.part("inner"), relations), ((0, 0), (0, 2)))

    def bind(self, layout: Layout) -> AdaptiveTemperature:
        inner = layout.part("inner")
        return replace(self, inner=self.inner.bind(inner), places=self.inner.columns(inner))

    def coordinates(self, moments: Affine) -> Affine:
        return self.inner.coordinates(moments)

    def rescale(self, params: AdaptiveTemperatureParams, covariates: ColumnMap) -> AdaptiveTemperatureParams:
        return replace(params, inner=self.inner.rescale(params.inner, covariates))

    # ------------------------------------------------------------------------------- logits
    def _at(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray, Row]:
        """The inner gate's local parameters and logits, and what is made of them."""
        inner = local[0, self.places]
        value = np.empty((len(inner), block.weight.size))
        self.inner.value(inner, block, value)
        on = np.isfinite(value)
        shifted = value - value.max(axis=0)
        share = np.exp(shifted)
        total = share.sum(axis=0)
        share /= total
        logs = np.where(on, np.where(on, shifted, 0.0) - np.log(total), 0.0)
        entropy = -(share * logs).sum(axis=0)
        level, slope = local[0, -2:]
        below = entropy - np.log(len(inner))
        row = Row(np.where(on, value, 0.0), np.exp(-level - slope * below), share, logs + entropy, below, slope)
        return inner, value, row

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, value, row = self._at(local, block)
        np.multiply(value, row.inverse, out=out)

    def _flat(self, inner: FloatArray, block: Block, value: FloatArray) -> FloatArray:
        """Derivatives (K, P, B) of the inner logits in all of the inner gate's parameters."""
        assert self.places is not None
        J = jacobian(self.inner, inner, block, value)
        out = np.zeros((len(inner), 1 + int(self.places.max()), block.weight.size))
        for k, (target, columns) in enumerate(zip(out, self.places, strict=True)):
            np.add.at(target, columns, J[0 if len(J) == 1 else k])
        return out

    @staticmethod
    def _of_log_tau(flat: FloatArray, row: Row) -> FloatArray:
        """Derivative (P + 2, B) of log tau; that of the entropy in u_l is - rho_l (log rho_l + H)."""
        along = -row.slope * _mean(row.share * row.excess, flat)
        return np.concatenate([along, np.ones_like(row.entropy)[None], row.entropy[None]])

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        inner, logits, row = self._at(local, block)
        flat = self._flat(inner, block, logits)
        out[:] = -(row.u * row.inverse)[:, None] * self._of_log_tau(flat, row)
        out[:, :-2] += flat * row.inverse

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        # booked on the first expert: all have the same columns
        inner, logits, row = self._at(local, block)
        flat = self._flat(inner, block, logits)
        turn, target, n = self._of_log_tau(flat, row), out[0], flat.shape[1]
        c = weights * row.inverse
        total = (c * row.u).sum(axis=0)
        # d2 u, of the logits and inside the entropy
        bend = curved(self.inner, inner, block, logits, c + row.slope * total * row.share * row.excess)
        for columns, own in zip(self.places, bend, strict=True):  # type: ignore[arg-type]
            np.add.at(target, (columns[:, None], columns[None, :]), own)
        # - du dL' - dL du' + h dL dL', with L = log tau
        moved = np.zeros_like(turn)
        moved[:n] = _mean(c, flat)
        cross = moved @ turn.T
        target += (total * turn) @ turn.T - cross - cross.T
        # - h d2L, with d2H = M M' + G M' + M G' - sum rho (log rho + H + 1) du du'
        mean, tilted = (_mean(w, flat) for w in (row.share, row.share * row.excess))
        scale = -row.slope * total
        both = (scale * tilted) @ mean.T
        target[:n, :n] += (scale * mean) @ mean.T + both + both.T
        for w, J in zip(scale * row.share * (row.excess + 1.0), flat, strict=True):
            target[:n, :n] -= (w * J) @ J.T
        level = tilted @ total  # d2L in u and the slope is dH = - G
        target[:n, -1] += level
        target[-1, :n] += level

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> AdaptiveTemperatureParams:
        inner = self.inner.start(layout.part("inner"), block, resp, schema)
        return AdaptiveTemperatureParams(inner=inner, temperature=np.ones(()), entropy=np.zeros(()))

    # ------------------------------------------------------------------------------- what is not identified
    def dilation(self, layout: Layout) -> Dilation | None:
        shift = np.zeros(layout.size)
        shift[-2] = -1.0
        return Dilation(np.zeros(layout.size, dtype=bool), shift)

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return np.concatenate([self.inner.canonical(layout.part("inner"), theta[:-2]), theta[-2:]])

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        directions, names = self.inner.invariances(layout.part("inner"), theta[:-2])
        return np.pad(directions, ((0, 0), (0, 2))), names

    def pinned(self, layout: Layout) -> IntArray:
        return self.inner.pinned(layout.part("inner"))

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return np.pad(self.inner.constraints(layout.part("inner"), theta[:-2]), ((0, 0), (0, 2)))

    # ------------------------------------------------------------------------------- labels
    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        return self.inner.order(mass, kinds)

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        return np.concatenate([self.inner.permute(layout.part("inner"), theta[:-2], order), theta[-2:]])

    def adopt(self, layout: Layout, theta: FloatArray, child: int, parent: int) -> FloatArray:
        return np.concatenate([self.inner.adopt(layout.part("inner"), theta[:-2], child, parent), theta[-2:]])


def _mean(weights: FloatArray, flat: FloatArray) -> FloatArray:
    """sum_k weights[k] flat[k], (P, B)."""
    return np.asarray(sum(w * J for w, J in zip(weights, flat, strict=True)))
