"""An expert's mean alone: what is left of it in a regression function fitted by least squares.

    V_k(x) = mu_k(x)

Parameters that no mean depends on, variances and dispersions, take no place in the vector; in the record they are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap, Coordinates
from moestat.data import Block, BlockSource, Schema
from moestat.errors import InputError
from moestat.experts.mixed import Mixed
from moestat.params import Layout, Slot
from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True)
class MeanLayout(Layout):
    """The layout of a record without some of its fields; ``whole`` has all of them, ``kept`` (P,) are places there."""

    whole: Layout
    kept: IntArray

    @staticmethod
    def without(whole: Layout, names: tuple[str, ...]) -> MeanLayout:
        """Leave these fields out; the record has NaN there."""
        slots = {name: slot for name, slot in whole.entries if isinstance(slot, Slot)}
        unknown = {name: np.full(slots[name].record_shape, np.nan) for name in names}
        entries = tuple((name, entry) for name, entry in whole.entries if name not in names)
        places = [whole.index(name).ravel() for name, _ in entries]
        return MeanLayout(partial(whole.build, **unknown), entries, whole, np.concatenate([_NONE, *places]))

    def embedded(self, theta: FloatArray) -> FloatArray:
        """The vector of the whole record, zero where it is unknown."""
        out = np.zeros(self.whole.size)
        out[self.kept] = theta
        return out

    def places(self, whole: IntArray) -> IntArray:
        """Positions here of positions in the whole vector, all of which are kept."""
        return np.searchsorted(self.kept, whole)


_NONE = np.zeros(0, dtype=np.int64)


def mean_map(expert: Expert) -> Expert:
    """The means of an expert, or of a tuple of them, as a component of their own."""
    if isinstance(expert, Mixed):
        return Mixed(tuple(mean_map(family) for family in expert.families))
    return MeanMap(expert)


@dataclass(frozen=True)
class MeanMap(Expert):
    """The mean of another family, for least squares.

    Parameters
    ----------
    family : Expert
    """

    family: Expert
    width: int = field(default=0, repr=False, compare=False)  # local parameters of the family, and which are kept
    kept: IntArray = field(default_factory=lambda: _NONE, repr=False, compare=False)

    categorical: ClassVar[bool] = False

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.family.name

    @property
    def accepts_offset(self) -> bool:  # type: ignore[override]
        return self.family.accepts_offset

    @property
    def accepts_exposure(self) -> bool:  # type: ignore[override]
        return self.family.accepts_exposure

    @property
    def scales_response(self) -> bool:  # type: ignore[override]
        return self.family.scales_response

    @property
    def shifts_response(self) -> bool:  # type: ignore[override]
        return self.family.shifts_response

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.family.equivariant

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.family.mixable

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        return self.family.isotropic

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.family.smooth

    @property
    def drifts(self) -> bool:  # type: ignore[override]
        return self.family.drifts

    def placed(self, coordinates: Coordinates) -> MeanMap:
        return replace(self, family=self.family.placed(coordinates))

    def check(self, source: BlockSource) -> None:
        self.family.check(source)

    def check_beside(self, source: BlockSource) -> None:
        self.family.check_beside(source)

    def for_starts(self, block: Block) -> Block:
        return self.family.for_starts(block)

    @property
    def spoken_of(self) -> Expert:
        return self.family

    def coordinates(self, moments: Affine) -> Affine:
        return self.family.coordinates(moments)

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> MeanLayout:
        return MeanLayout.without(self.family.layout(dims), self.family.spreads)

    def columns(self, layout: Layout) -> IntArray:
        every, kept = self._columns(layout)
        return _as_mean(layout).places(every[:, kept])

    def _columns(self, layout: Layout) -> tuple[IntArray, IntArray]:
        """Columns of the family, and which of them are kept."""
        every = self.family.columns(_as_mean(layout).whole)
        return every, np.flatnonzero(np.isin(every, _as_mean(layout).kept).all(axis=0))

    def predictors(self, layout: Layout) -> IntArray:
        return _as_mean(layout).places(self.family.predictors(_as_mean(layout).whole))

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        at = _as_mean(layout)
        return self.family.canonical(at.whole, at.embedded(theta))[at.kept]

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        at = _as_mean(layout)
        directions, names = self.family.invariances(at.whole, at.embedded(theta))
        return directions[:, at.kept], names

    def pinned(self, layout: Layout) -> IntArray:
        return _as_mean(layout).places(self.family.pinned(_as_mean(layout).whole))

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        at = _as_mean(layout)
        return self.family.constraints(at.whole, at.embedded(theta))[:, at.kept]

    def bind(self, layout: Layout) -> MeanMap:
        every, kept = self._columns(layout)
        return replace(self, family=self.family.bind(_as_mean(layout).whole), width=every.shape[1], kept=kept)

    def rescale(self, params: Any, covariates: ColumnMap, response: Affine) -> Any:
        return self.family.rescale(params, covariates, response)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.family.start(_as_mean(layout).whole, block, resp, schema)

    # ------------------------------------------------------------------------------- the map
    def _whole(self, local: FloatArray) -> FloatArray:
        """Local parameters of the family, zero where no mean depends on them."""
        out = np.zeros((len(local), self.width))
        out[:, self.kept] = local
        return out

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        out[:] = self.mean(local, block)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        out[:] = self.mean_jac(local, block)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.mean_curv(local, block, weights, out)

    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return self.family.mean(self._whole(local), block)

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        return np.ascontiguousarray(self.family.mean_jac(self._whole(local), block)[:, self.kept])

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        each = np.zeros((len(local), self.width, self.width))
        self.family.mean_curv(self._whole(local), block, weights, each)
        out += each[:, self.kept[:, None], self.kept]

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        raise InputError(
            "least squares fit means and know no law of the response, so nothing can be drawn; fit by likelihood."
        )


def _as_mean(layout: Layout) -> MeanLayout:
    assert isinstance(layout, MeanLayout)
    return layout
