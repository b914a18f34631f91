"""Experts of different families side by side, one family per expert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap, Coordinates
from moestat.data import Block, BlockSource, Schema
from moestat.errors import InputError
from moestat.experts.parameterless import ParameterlessExpert, check_described
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True)
class MixedParams:
    """One record per expert, each of a single expert (K = 1)."""

    members: tuple[Any, ...]


def _record(**members: Any) -> MixedParams:
    return MixedParams(tuple(members.values()))


@dataclass(frozen=True)
class Mixed(Expert):
    """A tuple of families: expert k follows ``families[k]``.

    Local parameters are padded to the longest family; the padding has derivative zero.
    """

    families: tuple[Expert, ...]
    widths: tuple[int, ...] = field(default=(), repr=False, compare=False)

    name: ClassVar[str] = "mixed"

    def __post_init__(self) -> None:
        names = [e.name for e in self.families]
        if len({e.categorical for e in self.families}) > 1:
            raise InputError(
                f"experts of one model must describe the same kind of response; got {names}, "
                "some for class labels, some for numbers."
            )
        if len({e.discrete for e in self.families}) > 1:
            raise InputError(
                f"experts of one model must describe the same kind of response; got {names}. "
                f"{[e.name for e in self.families if e.discrete]} give counts probabilities, the others densities per "
                "unit of y: which is larger would hang on the unit. Take all for counts, or all for measurements."
            )

    @property
    def categorical(self) -> bool:  # type: ignore[override]
        return self.families[0].categorical

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return self.families[0].discrete

    @property
    def several_responses(self) -> bool:  # type: ignore[override]
        return all(e.several_responses for e in self.families)

    @property
    def has_mean(self) -> bool:  # type: ignore[override]
        return all(e.has_mean for e in self.families)

    @property
    def accepts_offset(self) -> bool:  # type: ignore[override]
        return all(e.accepts_offset for e in self.families)

    @property
    def accepts_exposure(self) -> bool:  # type: ignore[override]
        return all(e.accepts_exposure for e in self.families)

    @property
    def scales_response(self) -> bool:  # type: ignore[override]
        return all(e.scales_response for e in self.families)

    @property
    def shifts_response(self) -> bool:  # type: ignore[override]
        return all(e.shifts_response for e in self.families)

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return all(e.equivariant for e in self.families)

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return all(e.mixable for e in self.families)

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        return any(e.isotropic for e in self.families)

    @property
    def drifts(self) -> bool:  # type: ignore[override]
        return any(e.drifts for e in self.families)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return all(e.smooth for e in self.families)

    @property
    def has_cdf(self) -> bool:  # type: ignore[override]
        return all(e.has_cdf for e in self.families)

    def kinds(self, n_experts: int) -> IntArray:
        return np.array([self.families.index(family) for family in self.families])

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        own = [place for _, _, place in self._places(layout)]
        return np.concatenate([theta[:0], *(theta[own[k]] for k in order)])

    def support(self, exposure: float | None = None) -> tuple[float, float]:
        lows, highs = zip(*(family.support(exposure) for family in self.families), strict=True)
        return max(lows), min(highs)

    def placed(self, coordinates: Coordinates) -> Mixed:
        return replace(self, families=tuple(family.placed(coordinates) for family in self.families))

    def check(self, source: BlockSource) -> None:
        super().check(source)
        bare = [family for family in self.families if isinstance(family, ParameterlessExpert)]
        if len(bare) == len(self.families):
            check_described(bare, source)

    def check_beside(self, source: BlockSource) -> None:
        for family in self.families:
            family.check_beside(source)

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        if len(self.families) != dims.n_experts:
            raise InputError(
                f"expert must be one family or a tuple of n_experts={dims.n_experts} families; "
                f"got {len(self.families)}."
            )
        one = Dims(1, dims.n_features, dims.n_responses, dims.n_classes)
        return Layout(_record, tuple((str(k), family.layout(one)) for k, family in enumerate(self.families)))

    def columns(self, layout: Layout) -> IntArray:
        rows, offset = [], 0
        for family, part in self._parts(layout):
            rows.append(family.columns(part)[0] + offset)
            offset += part.size
        width = max(row.size for row in rows)
        # a family without parameters pads with another's first, an intercept as a rule
        spare = next((row[:1] for row in rows if row.size), np.zeros(0, dtype=np.int64))
        return np.stack([_padded(row, width, spare) for row in rows])

    def predictors(self, layout: Layout) -> IntArray:
        rows, offset = [], 0
        for family, part in self._parts(layout):
            own = family.predictors(part)
            rows += [own + offset] if len(own) else []
            offset += part.size
        return np.concatenate(rows) if rows else super().predictors(layout)

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return np.concatenate([theta[:0], *(f.canonical(part, theta[own]) for f, part, own in self._places(layout))])

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        directions, names = [np.zeros((0, layout.size))], []
        for k, (family, part, own) in enumerate(self._places(layout)):
            found, words = family.invariances(part, theta[own])
            directions.append(np.zeros((len(found), layout.size)))
            directions[-1][:, own] = found
            names += [name.replace("expert 1", f"expert {k + 1}") for name in words]  # the only one of its family
        return np.concatenate(directions), tuple(names)

    def pinned(self, layout: Layout) -> IntArray:
        found = (family.pinned(part) + own.start for family, part, own in self._places(layout))
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])

    def bind(self, layout: Layout) -> Mixed:
        families = tuple(family.bind(part) for family, part in self._parts(layout))
        return replace(self, families=families, widths=tuple(part.size for _, part in layout.entries))

    def _members(self, local: FloatArray) -> Iterator[tuple[int, int, Expert, FloatArray]]:
        """(k, width, family, own local parameters (1, width)) of each expert."""
        for k, (family, width) in enumerate(zip(self.families, self.widths, strict=True)):
            yield k, width, family, np.ascontiguousarray(local[k : k + 1, :width])

    def lower_bounds(self, layout: Layout, spread: FloatArray, alone: bool) -> FloatArray:
        return np.concatenate([family.lower_bounds(part, spread, alone) for family, part in self._parts(layout)])

    def rescale(self, params: MixedParams, covariates: ColumnMap, response: Affine) -> MixedParams:
        pairs = zip(self.families, params.members, strict=True)
        return MixedParams(tuple(family.rescale(member, covariates, response) for family, member in pairs))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> MixedParams:
        starts = (
            family.start(part, block, resp[k : k + 1], schema) for k, (family, part) in enumerate(self._parts(layout))
        )
        return MixedParams(tuple(starts))

    def for_starts(self, block: Block) -> Block:
        """As the first family sees them that has a view of its own."""
        views = (family.for_starts(block) for family in self.families)
        return next((view for view in views if view is not block), block)

    def _parts(self, layout: Layout) -> Iterator[tuple[Expert, Layout]]:
        for family, (_, part) in zip(self.families, layout.entries, strict=True):
            assert isinstance(part, Layout)
            yield family, part

    def _places(self, layout: Layout) -> Iterator[tuple[Expert, Layout, slice]]:
        """The parts with their places in the flat vector."""
        start = 0
        for family, part in self._parts(layout):
            yield family, part, slice(start, start + part.size)
            start += part.size

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        for k, _, family, own in self._members(local):
            family.value(own, block, out[k : k + 1])

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        out[:] = 0.0
        for k, width, family, own in self._members(local):
            family.jac(own, block, value[k : k + 1], out[k : k + 1, :width])

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        for k, width, family, own in self._members(local):
            curvature = np.zeros((1, width, width))
            family.curv(own, block, value[k : k + 1], weights[k : k + 1], curvature)
            out[k, :width, :width] += curvature[0]

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        for k, width, family, own in self._members(local):
            score = np.zeros((1, width))
            family.pull(own, block, value[k : k + 1], weights[k : k + 1], score)
            out[k, :width] += score[0]

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return np.concatenate([family.mean(own, block) for _, _, family, own in self._members(local)])

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        each = [family.mean_jac(own, block)[0] for _, _, family, own in self._members(local)]
        out = np.zeros((len(each), local.shape[1], *each[0].shape[1:]))
        for target, jacobian in zip(out, each, strict=True):
            target[: len(jacobian)] = jacobian
        return out

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        for k, width, family, own in self._members(local):
            curvature = np.zeros((1, width, width))
            family.mean_curv(own, block, weights[k : k + 1], curvature)
            out[k, :width, :width] += curvature[0]

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        return np.concatenate([family.cdf(own, block, y) for _, _, family, own in self._members(local)])

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        out = np.empty((block.Y.shape[0], chosen.size))
        for k, _, family, own in self._members(local):
            drawn = family.draw(own, block, np.zeros(chosen.size, dtype=np.int64), rng)
            out[:, chosen == k] = drawn[:, chosen == k]
        return out


def _padded(row: IntArray, width: int, spare: IntArray) -> IntArray:
    """A row of positions, its last one repeated up to this width."""
    return np.pad(row if row.size else spare, (0, width - max(row.size, spare.size)), mode="edge")
