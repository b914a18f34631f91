"""Softmax gate.

    pi_k(x) = exp(beta_1k' x + beta_0k) / sum_l exp(beta_1l' x + beta_0l)        [Jacobs et al. 1991, eq. (1.2)]

Adding one vector to every slope, or one number to every intercept, changes no weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moestat.component import Dims, Gate
from moestat.coordinates import ColumnMap
from moestat.data import Block, Schema
from moestat.kernels.linear import linear_predictor
from moestat.params import Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class SoftmaxParams:
    """Parameters of the softmax gate, defined up to a common translation.

    slopes (K, d) are beta_1 and intercepts (K,) beta_0, both in logits per unit of the covariates.
    """

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")


@dataclass(frozen=True)
class Softmax(Gate):
    """Weights proportional to exp(beta_1k' x + beta_0k).

    References
    ----------
    Jacobs, Jordan, Nowlan and Hinton (1991), Adaptive mixtures of local experts, Neural Computation 3.
    """

    name: ClassVar[str] = "softmax"
    known_features: ClassVar[bool] = True
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True

    def layout(self, dims: Dims) -> Layout:
        return layout_of(SoftmaxParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def predictors(self, layout: Layout) -> IntArray:
        return self.columns(layout)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        linear_predictor(local, block.Z, out)

    def features(self, block: Block) -> FloatArray:
        return block.Z

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> SoftmaxParams:
        # flat gates are safe starts: exact gate steps from hard labels separate at once
        mass = resp.sum(axis=1)
        floor = 1e-3 * mass.sum() / mass.size
        slopes = np.zeros(layout.index("slopes").shape)
        return SoftmaxParams(slopes=slopes, intercepts=np.log(np.maximum(mass, floor) / mass.sum()))

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        params = layout.unpack(theta)
        centred = SoftmaxParams(
            slopes=params.slopes - params.slopes[-1], intercepts=params.intercepts - params.intercepts[-1]
        )
        return layout.pack(centred)

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        columns = self.columns(layout)
        directions = np.zeros((columns.shape[1], layout.size))
        for direction, shared in zip(directions, columns.T, strict=True):
            direction[shared] = 1.0
        slopes = tuple(f"common shift of the gate's slopes on covariate {u}" for u in range(1, columns.shape[1]))
        return directions, ("common shift of the gate's intercepts", *slopes)

    def pinned(self, layout: Layout) -> IntArray:
        last: IntArray = self.columns(layout)[-1]
        return last

    def rescale(self, params: SoftmaxParams, covariates: ColumnMap) -> SoftmaxParams:
        return SoftmaxParams(
            slopes=covariates.slopes(params.slopes),
            intercepts=params.intercepts + covariates.gain(params.slopes),
        )
