"""A family without covariates: the same law in every row, its parameters estimated.

    f_k(y | x) = f(y; intercept_k, ...)

The background of a mixture of regressions: a cloud, or a rate, that no covariate explains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap, Coordinates
from moestat.data import Block, BlockSource, Schema
from moestat.errors import InputError
from moestat.experts.gaussian import Gaussian
from moestat.params import Layout, Slot
from moestat.typing import FloatArray, IntArray

NO_COVARIATES = Affine.identity(0)

NORMAL = Gaussian()


@dataclass(frozen=True)
class Constant(Expert):
    """Another family with nothing but an intercept in its predictor, and an offset if there is one.

    Parameters
    ----------
    family : Expert
        The family: ``constant`` is a normal law, ``constant(poisson)`` one rate for all rows.
    """

    family: Expert = NORMAL

    name: ClassVar[str] = "constant"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.family, Expert):
            raise InputError(f"family must be an expert, as constant(poisson); got {self.family!r}.")

    @property
    def categorical(self) -> bool:  # type: ignore[override]
        return self.family.categorical

    @property
    def several_responses(self) -> bool:  # type: ignore[override]
        return self.family.several_responses

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return self.family.discrete

    @property
    def has_mean(self) -> bool:  # type: ignore[override]
        return self.family.has_mean

    @property
    def scales_response(self) -> bool:  # type: ignore[override]
        return self.family.scales_response

    @property
    def shifts_response(self) -> bool:  # type: ignore[override]
        return self.family.shifts_response

    @property
    def accepts_offset(self) -> bool:  # type: ignore[override]
        return self.family.accepts_offset

    @property
    def accepts_exposure(self) -> bool:  # type: ignore[override]
        return self.family.accepts_exposure

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.family.smooth

    @property
    def has_cdf(self) -> bool:  # type: ignore[override]
        return self.family.has_cdf

    def support(self, exposure: float | None = None) -> tuple[float, float]:
        return self.family.support(exposure)

    @property
    def spreads(self) -> tuple[str, ...]:
        return self.family.spreads

    def placed(self, coordinates: Coordinates) -> Constant:
        bare = replace(coordinates, X=NO_COVARIATES, null_X=None)
        return replace(self, family=self.family.placed(bare))

    def check_beside(self, source: BlockSource) -> None:
        self.family.check_beside(source)

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        # slopes on no covariates take no place in the vector; they are left out, and put back in the record
        inner = self.family.layout(replace(dims, n_features=0))
        slots = {name: entry for name, entry in inner.entries if isinstance(entry, Slot)}
        empty = {name: np.zeros(slot.shape) for name, slot in slots.items() if slot.size == 0}
        kept = tuple((name, entry) for name, entry in inner.entries if name not in empty)
        return Layout(lambda **fields: inner.build(**(empty | fields)), kept)

    def _inner_layout(self, layout: Layout) -> Layout:
        sizes = {name: size for _, slot, _ in layout.leaves() for name, size in zip(slot.axes, slot.shape, strict=True)}
        dims = Dims(sizes.get("expert", 1), 0, sizes.get("response", 1), sizes.get("class", 0) + 1)
        return self.family.layout(dims)

    def columns(self, layout: Layout) -> IntArray:
        return self.family.columns(self._inner_layout(layout))

    def bind(self, layout: Layout) -> Constant:
        return replace(self, family=self.family.bind(self._inner_layout(layout)))

    def lower_bounds(self, layout: Layout, spread: FloatArray, alone: bool) -> FloatArray:
        return self.family.lower_bounds(self._inner_layout(layout), spread, alone)

    def rescale(self, params: Any, covariates: ColumnMap, response: Affine) -> Any:
        return self.family.rescale(params, NO_COVARIATES, response)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.family.start(self._inner_layout(layout), _bare(block), resp, schema)

    def for_starts(self, block: Block) -> Block:
        return self.family.for_starts(block)

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self.family.value(local, _bare(block), out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        self.family.jac(local, _bare(block), value, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.family.curv(local, _bare(block), value, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.family.pull(local, _bare(block), value, weights, out)

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return self.family.mean(local, _bare(block))

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        return self.family.mean_jac(local, _bare(block))

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        self.family.mean_curv(local, _bare(block), weights, out)

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        return self.family.cdf(local, _bare(block), y)

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        return self.family.draw(local, _bare(block), chosen, rng)


def _bare(block: Block) -> Block:
    """The rows without covariates of the expert; a row of ones is left."""
    return block._replace(X=block.X[:1])
