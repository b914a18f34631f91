"""What a gate round another leaves to it: coordinates, what is not identified, labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from moestat.component import Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.errors import InputError
from moestat.gate_information import Forms, lower_forms
from moestat.gates.softmax import Softmax
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray


def relaxed_inside(gate: Any, n_experts: int) -> tuple[Gate, ...]:
    """A gate round the relaxations of its inner gate."""
    return tuple(replace(gate, inner=stage) for stage in gate.inner.relaxations(n_experts))


def forms_over_softmax(gate: Any, columns: IntArray) -> Forms | None:
    """Logits of an inner softmax gate, at ``gate.places``, and own parameters, which have the first feature, a one."""
    if not isinstance(gate.inner, Softmax):
        return None
    own = np.full((gate.n_own, gate.places.shape[1]), -1)
    own[:, 0] = columns[0, columns.shape[1] - gate.n_own :]
    return Forms(np.vstack([gate.places, own]), lower_forms(len(columns) + gate.n_own))


class Wrapper(Gate):
    """A gate whose weights are a function of an inner gate's logits that does not change when all are shifted.

    Parameters of its own, if it has any, come last; the record then holds the inner gate's as ``inner``.
    """

    inner: Gate

    @property
    def n_own(self) -> int:
        """Number of parameters beyond the inner gate's."""
        return 0

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

    def concerns(self, spread: FloatArray) -> tuple[str, ...]:
        return self.inner.concerns(spread)

    def blurs(self, spread: FloatArray) -> tuple[str, ...]:
        return self.inner.blurs(spread)

    def _inner(self, layout: Layout) -> Layout:
        """Layout of the inner gate."""
        return layout.part("inner") if self.n_own else layout

    def _first(self, theta: FloatArray) -> FloatArray:
        """The inner gate's parameters."""
        return theta[: theta.size - self.n_own]

    def _last(self, theta: FloatArray) -> FloatArray:
        return theta[theta.size - self.n_own :]

    # ------------------------------------------------------------------------------- covariates
    def predictors(self, layout: Layout) -> IntArray:
        return self.inner.predictors(self._inner(layout))

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        return self._padded(self.inner.null_directions(self._inner(layout), relations))

    def coordinates(self, moments: Affine) -> Affine:
        return self.inner.coordinates(moments)

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        if not self.n_own:
            return self.inner.rescale(params, covariates)
        return replace(params, inner=self.inner.rescale(params.inner, covariates))

    # ------------------------------------------------------------------------------- what is not identified
    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return np.concatenate([self.inner.canonical(self._inner(layout), self._first(theta)), self._last(theta)])

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        directions, names = self.inner.invariances(self._inner(layout), self._first(theta))
        return self._padded(directions), names

    def pinned(self, layout: Layout) -> IntArray:
        return self.inner.pinned(self._inner(layout))

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return self._padded(self.inner.constraints(self._inner(layout), self._first(theta)))

    def _padded(self, rows: FloatArray) -> FloatArray:
        return np.pad(rows, ((0, 0), (0, self.n_own)))

    # ------------------------------------------------------------------------------- labels
    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        return self.inner.order(mass, kinds)

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        inner = self.inner.permute(self._inner(layout), self._first(theta), order)
        return np.concatenate([inner, self._last(theta)])

    def copies(self, old: Layout, new: Layout, rng: np.random.Generator) -> IntArray:
        return self.inner.copies(self._inner(old), self._inner(new), rng)

    def enlarge(self, old: Layout, new: Layout, theta: FloatArray, copied: IntArray, split: float = 0.0) -> FloatArray:
        if split:
            raise InputError(f"copies share no mass under the {self.name} gate: more experts change all weights.")
        own = self.inner.enlarge(self._inner(old), self._inner(new), self._first(theta), copied)
        return np.concatenate([own, self._last(theta)])

    def adopt(self, layout: Layout, theta: FloatArray, child: int, parent: int) -> FloatArray:
        inner = self.inner.adopt(self._inner(layout), self._first(theta), child, parent)
        return np.concatenate([inner, self._last(theta)])
