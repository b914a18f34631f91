"""Noise about a known level: a normal law whose variance alone is estimated.

    f_k(y | x) = N(y; level + offset, sigma_k^2)

With level 0 it is the zero expert of a continuous response: it predicts 0 and leaves the rest to its variance
[Jin, Zhu, Yuan and Yan 2024, arXiv 2410.07348, have zero experts in neural mixtures].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from math import log
from typing import ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap, Coordinates
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.experts.gaussian import ROUNDING_FLOOR, START_VARIANCE, VARIANCE_FLOOR, Gaussian
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray

NORMAL = Gaussian()


@parameters
class NoiseParams:
    """variances sigma^2 (K,)."""

    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True)
class Noise(Expert):
    """Normal law about a known level, with an estimated variance.

    Parameters
    ----------
    level : float
        The known mean, in the units of the response.
    """

    level: float = 0.0
    placed_at: float | None = field(default=None, repr=False, compare=False)

    name: ClassVar[str] = "noise"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True
    scales_response: ClassVar[bool] = True
    accepts_offset: ClassVar[bool] = True
    has_cdf: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not isinstance(self.level, int | float) or not np.isfinite(self.level):
            raise InputError(f"level must be a finite number; got {self.level!r}.")

    @property
    def spreads(self) -> tuple[str, ...]:
        return ("variances",)

    @property
    def _mean(self) -> float:
        """The level in working units."""
        return self.level if self.placed_at is None else self.placed_at

    def placed(self, coordinates: Coordinates) -> Noise:
        at = (self.level - float(coordinates.y.location[0])) / float(coordinates.y.scale[0])
        return with_fields(self, placed_at=at)

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        return layout_of(NoiseParams, {"expert": dims.n_experts})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("variances"))

    def lower_bounds(self, layout: Layout, spread: FloatArray, alone: bool) -> FloatArray:
        return np.full(layout.size, log(ROUNDING_FLOOR if alone else VARIANCE_FLOOR) + 2 * log(spread[0]))

    def rescale(self, params: NoiseParams, covariates: ColumnMap, response: Affine) -> NoiseParams:
        return NoiseParams(variances=params.variances / response.scale[0] / response.scale[0])

    # ------------------------------------------------------------------------------- density
    def _as_normal(self, local: FloatArray) -> FloatArray:
        """Local parameters (K, 2) of a normal law without covariates."""
        return np.column_stack([np.full(len(local), self._mean), local])

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        NORMAL.value(self._as_normal(local), _bare(block), out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        both = np.empty((len(local), 2, block.weight.size))
        NORMAL.jac(self._as_normal(local), _bare(block), value, both)
        out[:] = both[:, 1:]

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        both = np.zeros((len(local), 2, 2))
        NORMAL.curv(self._as_normal(local), _bare(block), value, weights, both)
        out += both[:, 1:, 1:]

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        both = np.zeros((len(local), 2))
        NORMAL.pull(self._as_normal(local), _bare(block), value, weights, both)
        out += both[:, 1:]

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> NoiseParams:
        gap = block.Y[0] - block.offset - self._mean
        mass = np.maximum(resp.sum(axis=1), 1e-300)
        spread = float(block.weight @ gap**2 / block.weight.sum()) or 1.0
        return NoiseParams(variances=np.maximum(resp @ gap**2 / mass, START_VARIANCE * spread))

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return NORMAL.mean(self._as_normal(local), _bare(block))

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        return np.zeros((*local.shape, block.weight.size))

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        return NORMAL.cdf(self._as_normal(local), _bare(block), y)

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        return NORMAL.draw(self._as_normal(local), _bare(block), chosen, rng)


def _bare(block: Block) -> Block:
    return block._replace(X=block.X[:1])
