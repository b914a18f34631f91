"""Quadratic gates.

    pi_k(x) = softmax_k( x' A_k x + b_k' x + c_k )      polynomial
    pi_k(x) = softmax_k( x' A_k x + c_k )               monomial

With linear experts the slopes b_k bring back the interaction of gate and expert that slows the softmax gate down; the
monomial gate has none of it.                         [Akbarian, Nguyen, Han and Ho 2024, arXiv 2410.11222]

A_k is symmetric and held by its distinct entries A_uv, u >= v, in the order (1,1), (2,1), (2,2), (3,1), ...: an entry
off the diagonal, named ``x1:x2``, is the matrix's own, and enters twice, as 2 A_uv x_u x_v. The logits are linear in
known features, so one translation per feature changes no weight. A shift of the covariates turns squares into slopes:
the polynomial gate can follow, the monomial gate keeps the origin that it is given, as a part of the model, and
follows a scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dilation, Dims
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.related import combined_without, one_for_each, vanishing_forms
from moestat.gates.translated import Translated, log_mass, shifts_of
from moestat.kernels import jit
from moestat.kernels.linear import linear_predictor
from moestat.params import Layout, axes, layout_of, n_multiplied, n_products, own_columns, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class QuadraticParams:
    """intercepts c (K,), slopes b (K, d) and the distinct entries of A (K, d (d + 1) / 2)."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    quadratic: FloatArray = axes("expert", "product")


@parameters
class MonomialParams:
    """intercepts c (K,) and the distinct entries of A (K, d (d + 1) / 2)."""

    intercepts: FloatArray = axes("expert", label="const")
    quadratic: FloatArray = axes("expert", "product")


@dataclass(frozen=True)
class Quadratic(Translated):
    """Weights proportional to exp(x' A_k x + b_k' x + c_k).

    Parameters
    ----------
    linear : bool
        Whether the slopes b_k are there; without them the gate is monomial.

    References
    ----------
    Akbarian, Nguyen, Han and Ho (2024), Quadratic gating functions in mixture of experts: a statistical insight,
    arXiv 2410.11222.
    """

    linear: bool = True

    name: ClassVar[str] = "quadratic"
    known_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.linear, bool):
            raise InputError(f"linear must be True (with slopes) or False (monomial); got {self.linear!r}.")

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.linear

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.linear

    def layout(self, dims: Dims) -> Layout:
        sizes = {"expert": dims.n_experts, "feature": dims.n_features, "product": n_products(dims.n_features)}
        return layout_of(QuadraticParams if self.linear else MonomialParams, sizes)

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), self._coefficients(layout))

    def _coefficients(self, layout: Layout) -> IntArray:
        """Flat positions (K, m) of slopes and entries of A."""
        quadratic = layout.index("quadratic")
        return own_columns(layout.index("slopes"), quadratic) if self.linear else quadratic

    def predictors(self, layout: Layout) -> IntArray:
        if not self.linear:
            return super().predictors(layout)
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        forms, lower = vanishing_forms(relations), np.tril_indices(relations.shape[1] - 1)
        constant, linear, entries = forms[:, 0, :1], 2.0 * forms[:, 0, 1:], forms[:, 1:, 1:][:, lower[0], lower[1]]
        if self.linear:
            rows = np.hstack([constant, linear, entries])
        else:
            rows = combined_without(np.hstack([constant, entries]), linear)
        return one_for_each(self.columns(layout), rows, layout.size)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        linear_predictor(local, self.features(block), out)

    def features(self, block: Block) -> FloatArray:
        first = len(block.Z) if self.linear else 1
        out = np.empty((first + n_products(len(block.Z) - 1), block.weight.size))
        out[:first] = block.Z[:first]
        _products(block.Z, out[first:])
        return out

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        flat = {name: np.zeros(slot.shape) for name, slot, _ in layout.leaves()}
        return layout.build(**flat | {"intercepts": log_mass(resp)})

    def shifts(self, layout: Layout) -> dict[str, IntArray]:
        return shifts_of(layout.index("intercepts"), self._coefficients(layout), "coefficient on feature")

    def dilation(self, layout: Layout) -> Dilation:
        return Dilation.linear(layout.size)

    def coordinates(self, moments: Affine) -> Affine:
        return moments if self.linear else moments.without_location()

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        A = _matrices(params.quadratic)
        half, gain = covariates.slopes(A), covariates.gain(A)  # one side of every form carried, then the other
        lower = np.tril_indices(A.shape[1])
        quadratic = covariates.slopes(half.swapaxes(1, 2))[:, lower[0], lower[1]]
        if self.linear:
            return QuadraticParams(
                intercepts=params.intercepts + covariates.gain(params.slopes) + covariates.gain(gain),
                slopes=covariates.slopes(params.slopes) + 2.0 * covariates.slopes(gain),
                quadratic=quadratic,
            )
        if gain.any() or not isinstance(covariates, Affine) or covariates.location.any():
            raise InputError("the monomial quadratic gate is not equivariant: it has an origin, which cannot be moved.")
        return MonomialParams(intercepts=params.intercepts, quadratic=quadratic)


def _matrices(entries: FloatArray) -> FloatArray:
    """Symmetric matrices (K, d, d) from their distinct entries."""
    d = n_multiplied(entries.shape[1])
    rows, columns = np.tril_indices(d)
    out = np.empty((len(entries), d, d))
    out[:, rows, columns] = entries
    out[:, columns, rows] = entries
    return out


@jit
def _products(Z: FloatArray, out: FloatArray) -> None:
    """out rows: x_u x_v for u >= v, twice off the diagonal."""
    row = 0
    for u in range(1, Z.shape[0]):
        x = Z[u]
        for v in range(1, u + 1):
            y = Z[v]
            o = out[row]
            times = 1.0 if u == v else 2.0
            for j in range(o.size):
                o[j] = times * x[j] * y[j]
            row += 1
