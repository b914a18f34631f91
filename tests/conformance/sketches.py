"""Gates and experts written against the contract in plain NumPy, as a user would write them.

Each is short and slow on purpose: whatever the passes compute for these, they compute for anything that keeps the
contract. They couple experts, switch them off, hold other gates, and pad.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dilation, Dims, Expert, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray


# --------------------------------------------------------------------------------------- gates round a gate
@dataclass(frozen=True)
class TopK(Gate):
    """The inner gate with only its ``n_active`` largest logits switched on; ties go to the lowest index."""

    inner: Gate
    n_active: int = 2

    name: ClassVar[str] = "topk"

    @property
    def known_features(self) -> bool:  # type: ignore[override]
        return self.inner.known_features

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.inner.equivariant

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.inner.mixable

    @property
    def exchangeable(self) -> bool:  # type: ignore[override]
        return self.inner.exchangeable

    def layout(self, dims: Dims) -> Layout:
        return self.inner.layout(dims)

    def columns(self, layout: Layout) -> IntArray:
        return self.inner.columns(layout)

    def predictors(self, layout: Layout) -> IntArray:
        return self.inner.predictors(layout)

    def bind(self, layout: Layout) -> TopK:
        return replace(self, inner=self.inner.bind(layout))

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self.inner.value(local, block, out)
        rank = np.argsort(np.argsort(-out, axis=0, kind="stable"), axis=0)
        out[rank >= self.n_active] = -np.inf

    def features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        self.inner.jac(local, block, self._unmasked(local, block), out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.curv(local, block, self._unmasked(local, block), weights, out)

    def _unmasked(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((len(local), block.weight.size))
        self.inner.value(local, block, out)
        return out

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.inner.start(layout, block, resp, schema)

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return self.inner.canonical(layout, theta)

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        return self.inner.invariances(layout, theta)

    def pinned(self, layout: Layout) -> IntArray:
        return self.inner.pinned(layout)

    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout)

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        return self.inner.rescale(params, covariates)


# --------------------------------------------------------------------------------------- experts
@parameters
class BackgroundParams:
    """means m (K,) and variances v (K,)."""

    means: FloatArray = axes("expert", label="mean")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True)
class Background(Expert):
    """N(y; m_k, v_k), blind to covariates: fewer local parameters than a regression, so padded beside one."""

    name: ClassVar[str] = "background"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True  # it depends on no covariate at all
    scales_response: ClassVar[bool] = True

    def layout(self, dims: Dims) -> Layout:
        return layout_of(BackgroundParams, {"expert": dims.n_experts})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("means"), layout.index("variances"))

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, square = self._standardised(local, block)
        out[:] = -0.5 * (np.log(2 * np.pi) + local[:, 1:] + square)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        pull, square = self._standardised(local, block)
        out[:, 0] = pull
        out[:, 1] = 0.5 * (square - 1.0)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        pull, square = self._standardised(local, block)
        cross = (weights * pull).sum(axis=1)
        out[:, 0, 0] -= weights.sum(axis=1) * np.exp(-local[:, 1])
        out[:, 0, 1] -= cross
        out[:, 1, 0] -= cross
        out[:, 1, 1] -= 0.5 * (weights * square).sum(axis=1)

    @staticmethod
    def _standardised(local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
        """(y - m_k) / v_k and (y - m_k)^2 / v_k, (K, B)."""
        gap, variance = block.Y[0] - local[:, :1], np.exp(local[:, 1:])
        return gap / variance, gap**2 / variance

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> BackgroundParams:
        mass = resp.sum(axis=1)
        means = resp @ block.Y[0] / mass
        return BackgroundParams(means=means, variances=(resp * (block.Y[0] - means[:, None]) ** 2).sum(axis=1) / mass)

    def rescale(self, params: BackgroundParams, covariates: ColumnMap, response: Affine) -> BackgroundParams:
        return BackgroundParams(
            means=(params.means - response.location[0]) / response.scale[0],
            variances=params.variances / response.scale[0] ** 2,
        )

    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return np.repeat(local[:, :1], block.weight.size, axis=1)

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.zeros((*local.shape, block.weight.size))
        out[:, 0] = 1.0
        return out

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        return (local[chosen, 0] + np.exp(0.5 * local[chosen, 1]) * rng.standard_normal(chosen.size))[None]
