"""Non-linear residual gate (NoRGa).

    pi_k(x) = softmax_k( s_k + alpha a(tau s_k) ),   s_k = b_k' x + c_k

with an activation a, such as tanh. The residual term bends the scores, so that experts and gate are estimated at
polynomial rates.                                     [Le et al. 2024, arXiv 2405.14124]

alpha and tau are settings. Near zero a(tau s) is a(0) + a'(0) tau s, so that there the weights depend on alpha, tau
and the scores by (1 + alpha a'(0) tau) s alone: rows on which the scores are small do not tell them apart, and with
alpha = 0 tau has no meaning. A non-linear residual leaves no shift of the parameters without effect; a linear one
(``identity``, or alpha = 0) is the softmax gate, with its translations. With these and with ``relu`` the logits are
homogeneous in the parameters. With two experts and an odd activation (and the sigmoid, odd about 1/2) the scores
(s_1, s_2) and (-s_2, -s_1) have the same weights; the representative has b_1 + b_2 with a positive first entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from moestat.activations import ACTIVATIONS, activation_named
from moestat.component import Dilation
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.mirror import upright
from moestat.gates.scores import Bend, BentScores, ScoreParams
from moestat.gates.translated import Translated, log_mass, shifts_of
from moestat.params import Layout, own_columns
from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True)
class NoRGa(BentScores, Translated):
    """Weights proportional to exp(s_k + alpha a(tau s_k)) with s_k = b_k' x + c_k.

    Parameters
    ----------
    activation : str
        a, a name out of `moestat.activations.ACTIVATIONS`.
    alpha : float
        Size of the residual term, at least 0.
    tau : float
        Scale of the score inside the activation, larger than 0.

    References
    ----------
    Le et al. (2024), Mixture of experts meets prompt-based continual learning, arXiv 2405.14124.
    """

    activation: str = "tanh"
    alpha: float = 1.0
    tau: float = 1.0

    name: ClassVar[str] = "norga"

    def __post_init__(self) -> None:
        activation_named(self.activation)
        for setting, value, least in (("alpha", self.alpha, "at least 0"), ("tau", self.tau, "larger than 0")):
            number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
            if not (number and value >= 0 and (value > 0 or setting == "alpha")):
                raise InputError(f"{setting} must be a finite number {least}; got {value!r}.")

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.alpha == 0 or ACTIVATIONS[self.activation].smooth

    @property
    def bend(self) -> Bend:
        return Bend(ACTIVATIONS[self.activation].code, 1.0, float(self.alpha), float(self.tau))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> ScoreParams:
        return ScoreParams(slopes=np.zeros(layout.index("slopes").shape), intercepts=log_mass(resp))

    @property
    def _linear(self) -> bool:
        return self.alpha == 0 or self.activation == "identity"

    def shifts(self, layout: Layout) -> dict[str, IntArray]:
        if not self._linear:
            return {}
        return shifts_of(layout.index("intercepts"), layout.index("slopes"), "slopes on covariate")

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        out = super().canonical(layout, theta)
        scores = own_columns(layout.index("slopes"), layout.index("intercepts"))
        mirrored = len(scores) == 2 and not self._linear and ACTIVATIONS[self.activation].odd_about is not None
        return upright(out, scores) if mirrored else out

    def dilation(self, layout: Layout) -> Dilation | None:
        homogeneous = self.alpha == 0 or ACTIVATIONS[self.activation].homogeneous
        return Dilation.linear(layout.size) if homogeneous else None
