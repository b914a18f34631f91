"""Constant gate: weights that depend on no covariate.

    pi_k = exp(beta_0k) / sum_l exp(beta_0l),  or given numbers

As the outer gate of a hierarchy, given weights put shared experts beside routed ones:

    p(y | x) = 1/2 sum_i omega_i f_i(y | x) + 1/2 sum_j softmax_j(beta_1j' x + beta_0j) f_j(y | x)
                                                                        [Nguyen et al. 2025, arXiv 2505.10860]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dilation, Dims, Gate, by_mass
from moestat.coordinates import ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.translated import log_mass
from moestat.params import Layout, axes, layout_of, parameters
from moestat.typing import FloatArray, IntArray

#: How far from one given weights may add up: what is written with a few digits does not.
ROUNDING = 1e-8


@parameters
class ConstantParams:
    """intercepts beta_0 (K,), the logarithms of the weights up to a common shift."""

    intercepts: FloatArray = axes("expert", label="const")


@parameters
class GivenWeightsParams:
    """No parameters: the weights are given."""


@dataclass(frozen=True)
class Constant(Gate):
    """The same weights for every row.

    Parameters
    ----------
    weights : tuple of float, optional
        One weight per expert, larger than zero and one in all; estimated when left out.

    References
    ----------
    Pearson (1894), Contributions to the mathematical theory of evolution: the mixture of densities itself.
    """

    weights: tuple[float, ...] | None = None

    name: ClassVar[str] = "constant"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True  # it depends on no covariate at all

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", _checked(self.weights))

    @property
    def known_features(self) -> bool:  # type: ignore[override]
        return self.weights is None

    @property
    def exchangeable(self) -> bool:  # type: ignore[override]
        return self.weights is None or len(set(self.weights)) == 1

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        if self.weights is None:
            return layout_of(ConstantParams, {"expert": dims.n_experts})
        if len(self.weights) != dims.n_experts:
            raise InputError(
                f"weights of the constant gate must be one per expert, {dims.n_experts}; got {self.weights}."
            )
        return layout_of(GivenWeightsParams, {})

    def columns(self, layout: Layout) -> IntArray:
        if self.weights is None:
            return layout.index("intercepts")[:, None]
        return np.zeros((len(self.weights), 0), dtype=np.int64)

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        return params

    # ------------------------------------------------------------------------------- logits
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        out[:] = local if self.weights is None else np.log(self.weights)[:, None]

    def features(self, block: Block) -> FloatArray:
        return block.Z[:1] if self.weights is None else super().features(block)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        out[:] = 1.0

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        if self.weights is not None:
            return GivenWeightsParams()
        return ConstantParams(intercepts=log_mass(resp))

    # ------------------------------------------------------------------------------- what is not identified
    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return theta - theta[-1:] if theta.size else theta

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        if self.weights is not None:
            return super().invariances(layout, theta)
        return np.ones((1, layout.size)), ("common shift of the gate's intercepts",)

    def pinned(self, layout: Layout) -> IntArray:
        return np.arange(layout.size)[-1:]

    def dilation(self, layout: Layout) -> Dilation | None:
        return Dilation.linear(layout.size) if self.weights is None else None

    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        if self.weights is None:
            return by_mass(mass, kinds)
        _, weight = np.unique(self.weights, return_inverse=True)  # only experts of equal weight may change places
        return by_mass(mass, kinds * mass.size + weight.ravel())


def _checked(weights: Any) -> tuple[float, ...]:
    try:
        given = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.zeros(0)
    if given.ndim != 1 or not given.size or not (np.isfinite(given) & (given > 0)).all():
        raise InputError(
            f"weights of the constant gate must be numbers larger than zero, one per expert; got {weights!r}. "
            "Leave an expert out that shall have no weight."
        )
    if abs(given.sum() - 1.0) > ROUNDING:
        raise InputError(f"weights of the constant gate must add up to one; {weights!r} add up to {given.sum():.10g}.")
    return tuple((given / given.sum()).tolist())
