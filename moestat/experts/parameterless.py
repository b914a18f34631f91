"""What experts without parameters have in common: densities that are known, not estimated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, BlockSource, Schema
from moestat.errors import InputError
from moestat.params import Layout, parameters
from moestat.typing import BoolArray, FloatArray, IntArray


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

    def check(self, source: BlockSource) -> None:
        super().check(source)
        check_described((self,), source)

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


def check_described(families: Iterable[ParameterlessExpert], source: BlockSource) -> None:
    """Refuse a row in which none of these densities, all that there are, is larger than zero."""
    raw = source.in_coordinates(replace(source.coordinates, y=Affine.identity(1)))
    placed = [family.placed(raw.coordinates) for family in families]
    for block in raw.blocks():
        impossible, out = block.weight > 0, np.empty((1, block.weight.size))
        for family in placed:
            family.value(np.zeros((1, 0)), block, out)
            impossible &= np.isneginf(out[0])
        if impossible.any():
            names = ", ".join(dict.fromkeys(family.name for family in placed))
            raise InputError(
                f"every row needs an expert that can describe it; {_row_in_words(raw, block, impossible)}, where all "
                f"experts ({names}) have density zero, and none has parameters to change that. Leave such rows out, or "
                'put an estimated family beside, as expert="known, gaussian" or "zero, poisson".'
            )


def _row_in_words(source: BlockSource, block: Block, chosen: BoolArray) -> str:
    """The first of the chosen rows by its values: equal rows may have been merged, and have no number."""
    at, here = int(np.argmax(chosen)), source.coordinates
    covariates = zip(source.schema.features, here.X.restore(block.X[1:, [at]].T)[0], strict=True)
    where = ", ".join(f"{name}={value:.6g}" for name, value in covariates)
    return f"y is {block.Y[0, at]:.6g} in " + (f"the row with {where}" if where else "a row")
