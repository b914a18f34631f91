"""What gates share that switch experts off: the inner gate's logits, and minus infinity where an expert has no say.

The mask is constant between the places where it switches, so value and derivatives are the inner gate's wherever an
expert is on. Where it is off, weight and responsibility are zero and whatever a derivative says is not listened to;
it only has to be finite.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from moestat.component import Dims, Gate
from moestat.data import Block, Schema
from moestat.gates.nested import SOFTMAX
from moestat.gates.wrapper import Wrapper
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Masked(Wrapper):
    """A gate with the parameters of its inner gate, which leaves out experts row by row."""

    inner: Gate = SOFTMAX

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        return False

    @property
    def tells_ties(self) -> bool:
        return self.inner.continuous and self.inner.tells_ties

    @abstractmethod
    def mask(self, local: FloatArray, block: Block, value: FloatArray) -> None:
        """Put minus infinity into ``value`` (K, B), the inner gate's logits, where an expert is off."""

    def relaxations(self, n_experts: int) -> tuple[Gate, ...]:
        return (self.inner,)

    # ------------------------------------------------------------------------------- parameters
    @property
    def known_features(self) -> bool:  # type: ignore[override]
        return self.inner.known_features

    def layout(self, dims: Dims) -> Layout:
        return self.inner.layout(dims)

    def columns(self, layout: Layout) -> IntArray:
        return self.inner.columns(layout)

    def bind(self, layout: Layout) -> Self:
        return replace(self, inner=self.inner.bind(layout))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.inner.start(layout, block, resp, schema)

    # ------------------------------------------------------------------------------- logits
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self.inner.value(local, block, out)
        self.mask(local, block, out)

    def features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        self.inner.jac(local, block, self._unmasked(local, block, value), out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.pull(local, block, self._unmasked(local, block, value), weights, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.curv(local, block, self._unmasked(local, block, value), weights, out)

    def _unmasked(self, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
        """The inner gate's own logits: one with groups reads an expert's derivative off all logits of its group."""
        if self.known_features:
            return value  # a gate that is linear in its parameters does not look at them
        out = np.empty_like(value)
        self.inner.value(local, block, out)
        return out
