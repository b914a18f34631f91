"""Normalised sigmoid gate.

    pi_k(x) = s(z_k) / sum_l s(z_l),   z_k = b_k' x + c_k,   s(z) = 1 / (1 + exp(-z))

Experts do not compete for the top: each is switched on by itself, and what is on is shared out. As weights are
softmax(h), h_k = log s(z_k).         [Nguyen, Ho and Rinaldo 2024, arXiv 2405.13997; Nguyen et al. 2025, 2505.10860]

No shift leaves the weights alone. But far below zero s(z) is exp(z), and where every z_k is there the gate is the
softmax gate, whose likelihood a common shift downwards approaches: such a supremum lies at infinity.

The unnormalised gate has the weights s(z_k) themselves [arXiv 2405.13997, eq. 1]. They need not sum to one, so there is
no density: it belongs to least squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moestat.data import Block, Schema
from moestat.gates.scores import Bend, BentScores, ScoreParams
from moestat.gates.translated import log_mass
from moestat.kernels.activations import SOFTPLUS
from moestat.params import Layout
from moestat.typing import FloatArray

#: Shares of the rows that a start believes an expert to have.
LEAST_AND_MOST = (0.05, 0.95)


@dataclass(frozen=True)
class Sigmoid(BentScores):
    """Weights proportional to 1 / (1 + exp(-b_k' x - c_k)).

    References
    ----------
    Nguyen, Ho and Rinaldo (2024), Sigmoid gating is more sample efficient than softmax gating in mixture of experts,
    arXiv 2405.13997.
    Nguyen et al. (2025), On DeepSeekMoE: statistical benefits of shared experts and normalized sigmoid gating,
    arXiv 2505.10860.
    """

    name: ClassVar[str] = "sigmoid"

    @property
    def bend(self) -> Bend:
        return Bend(SOFTPLUS, 0.0, -1.0, -1.0)  # log s(z) = -log(1 + exp(-z))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> ScoreParams:
        # the likeliest expert is on with probability one half: nobody starts on a plateau
        logits = log_mass(resp)
        switched = 0.5 * np.exp(logits - logits.max())
        return ScoreParams(
            slopes=np.zeros(layout.index("slopes").shape), intercepts=np.log(switched) - np.log1p(-switched)
        )


@dataclass(frozen=True)
class UnnormalisedSigmoid(Sigmoid):
    """Weights 1 / (1 + exp(-b_k' x - c_k)), each for itself; for ``moestat.fit(..., objective="least_squares")``.

    References
    ----------
    Nguyen, Ho and Rinaldo (2024), Sigmoid gating is more sample efficient than softmax gating in mixture of experts,
    arXiv 2405.13997.
    """

    name: ClassVar[str] = "unnormalised_sigmoid"
    sums_to_one: ClassVar[bool] = False

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> ScoreParams:
        # each expert's share of the rows, as a straight line in the covariates, and the sigmoid that it touches in the
        # middle; nobody is switched on or off to begin with
        root = np.sqrt(block.weight)
        shares = resp / np.where(block.weight > 0, block.weight, 1.0)
        lines = np.linalg.lstsq((block.Z * root).T, (shares * root).T, rcond=1e-7)[0].T
        mean = np.clip(resp.sum(axis=1) / block.weight.sum(), *LEAST_AND_MOST)
        steep = 1.0 / (mean * (1.0 - mean))
        slopes = steep[:, None] * lines[:, 1:]
        centre = block.Z[1:] @ block.weight / block.weight.sum()
        return ScoreParams(slopes=slopes, intercepts=np.log(mean) - np.log1p(-mean) - slopes @ centre)
