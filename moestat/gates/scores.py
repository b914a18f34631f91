"""Gates whose logit is a bent score: h_k = g(s_k) with s_k = b_k' x + c_k, each expert's own.

A gate of this kind says what g is; value and derivatives follow by the chain rule. The scores are linear, so the
covariates may be shifted, scaled and mixed.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from moestat.component import Dims, Gate
from moestat.coordinates import ColumnMap
from moestat.data import Block
from moestat.kernels.linear import linear_predictor, row_dots, weighted_gram
from moestat.params import Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class ScoreParams:
    """slopes b (K, d) and intercepts c (K,) of the scores."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")


class BentScores(Gate):
    """A gate with the logits g(b_k' x + c_k)."""

    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True

    @abstractmethod
    def bend(self, score: FloatArray, value: FloatArray, slope: FloatArray, curvature: FloatArray) -> None:
        """Write g, g' and g'' at the scores of one expert; four different arrays (B,)."""

    def layout(self, dims: Dims) -> Layout:
        return layout_of(ScoreParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def predictors(self, layout: Layout) -> IntArray:
        return self.columns(layout)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self._bent(local, block, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        slopes, _ = self._bent(local, block, np.empty_like(value))
        for own, slope in zip(out, slopes, strict=True):
            np.multiply(slope, block.Z, out=own)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        slopes, _ = self._bent(local, block, np.empty_like(value))
        slopes *= weights
        for own, slope in zip(out, slopes, strict=True):
            row_dots(slope, block.Z, own)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _, curvatures = self._bent(local, block, np.empty_like(value))
        curvatures *= weights
        for own, curvature in zip(out, curvatures, strict=True):
            weighted_gram(curvature, block.Z, 1.0, 0, own)

    def _bent(self, local: FloatArray, block: Block, value: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Write g (K, B); g' and g'' (K, B)."""
        scores, slopes, curvatures = np.empty((3, *value.shape))
        linear_predictor(local, block.Z, scores)
        for rows in zip(scores, value, slopes, curvatures, strict=True):
            self.bend(*rows)
        return slopes, curvatures

    def rescale(self, params: ScoreParams, covariates: ColumnMap) -> ScoreParams:
        return ScoreParams(
            slopes=covariates.slopes(params.slopes),
            intercepts=params.intercepts + covariates.gain(params.slopes),
        )
