"""What gates share that switch experts off: the inner gate's logits, and minus infinity where an expert has no say.

The mask is constant between the places where it switches, so value and derivatives are the inner gate's wherever an
expert is on. Where it is off, weight and responsibility are zero and whatever a derivative says is not listened to;
it only has to be finite.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from moestat.component import Dilation, Dims, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.kernels import jit
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray


class Masked(Gate):
    """A gate with the parameters of its inner gate, which leaves out experts row by row."""

    inner: Gate

    continuous: ClassVar[bool] = False

    @abstractmethod
    def mask(self, local: FloatArray, block: Block, value: FloatArray) -> None:
        """Put minus infinity into ``value`` (K, B), the inner gate's logits, where an expert is off."""

    def relaxations(self, n_experts: int) -> tuple[Gate, ...]:
        return (self.inner,)

    # ------------------------------------------------------------------------------- what the inner gate is
    @property
    def known_features(self) -> bool:  # type: ignore[override]
        return self.inner.known_features

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.inner.equivariant

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        return self.inner.isotropic

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
        return self.inner.layout(dims)

    def columns(self, layout: Layout) -> IntArray:
        return self.inner.columns(layout)

    def predictors(self, layout: Layout) -> IntArray:
        return self.inner.predictors(layout)

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        return self.inner.null_directions(layout, relations)

    def bind(self, layout: Layout) -> Self:
        return replace(self, inner=self.inner.bind(layout))  # type: ignore[type-var]

    def coordinates(self, moments: Affine) -> Affine:
        return self.inner.coordinates(moments)

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        return self.inner.rescale(params, covariates)

    def lower_bounds(self, layout: Layout, spread: FloatArray) -> FloatArray:
        return self.inner.lower_bounds(layout, spread)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.inner.start(layout, block, resp, schema)

    # ------------------------------------------------------------------------------- logits
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self.inner.value(local, block, out)
        self.mask(local, block, out)

    def features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        self.inner.jac(local, block, self._finite(value), out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.pull(local, block, self._finite(value), weights, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.curv(local, block, self._finite(value), weights, out)

    def _finite(self, value: FloatArray) -> FloatArray:
        """Logits with zero for minus infinity; a gate that is linear in its parameters does not look at them."""
        if self.known_features:
            return value
        out = np.empty_like(value)
        _zero_where_off(value, out)
        return out

    # ------------------------------------------------------------------------------- what is not identified
    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout)

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return self.inner.canonical(layout, theta)

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        return self.inner.invariances(layout, theta)

    def pinned(self, layout: Layout) -> IntArray:
        return self.inner.pinned(layout)

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return self.inner.constraints(layout, theta)

    # ------------------------------------------------------------------------------- labels
    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        return self.inner.order(mass, kinds)

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        return self.inner.permute(layout, theta, order)

    def adopt(self, layout: Layout, theta: FloatArray, child: int, parent: int) -> FloatArray:
        return self.inner.adopt(layout, theta, child, parent)


@jit
def _zero_where_off(value: FloatArray, out: FloatArray) -> None:
    for k in range(value.shape[0]):
        v = value[k]
        o = out[k]
        for j in range(v.size):
            o[j] = v[j] if v[j] > -np.inf else 0.0
