"""Normalised sigmoid gate.

    pi_k(x) = s(z_k) / sum_l s(z_l),   z_k = b_k' x + c_k,   s(z) = 1 / (1 + exp(-z))

Experts do not compete for the top: each is switched on by itself, and what is on is shared out. As weights are
softmax(h), h_k = log s(z_k).         [Nguyen, Ho and Rinaldo 2024, arXiv 2405.13997; Nguyen et al. 2025, 2505.10860]

No shift leaves the weights alone. But far below zero s(z) is exp(z), and where every z_k is there the gate is the
softmax gate, whose likelihood a common shift downwards approaches: such a supremum lies at infinity.
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
