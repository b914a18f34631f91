"""Experts written against the contract in plain NumPy, as a user would write them.

Each is short and slow on purpose: whatever the passes compute for these, they compute for anything that keeps the
contract. Beside others they are padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray


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
