"""What experts without parameters have in common: densities that are known, not estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.params import Layout, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class NoParams:
    """Nothing."""


@dataclass(frozen=True)
class EmptyLayout(Layout):
    """The layout of no parameters, for so many experts."""

    n_experts: int = 1


class ParameterlessExpert(Expert):
    """An expert with nothing to estimate. Offset and exposure, terms of predictors, do not touch it."""

    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True
    accepts_offset: ClassVar[bool] = True
    accepts_exposure: ClassVar[bool] = True
    has_cdf: ClassVar[bool] = True

    def layout(self, dims: Dims) -> Layout:
        return EmptyLayout(NoParams, (), dims.n_experts)

    def columns(self, layout: Layout) -> IntArray:
        assert isinstance(layout, EmptyLayout)
        return np.zeros((layout.n_experts, 0), dtype=np.int64)

    def rescale(self, params: Any, covariates: ColumnMap, response: Affine) -> Any:
        return params

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> NoParams:
        return NoParams()

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        """Nothing to write."""

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        """Nothing to add."""

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        return np.zeros((*local.shape, block.weight.size))
