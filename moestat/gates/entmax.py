"""Entmax gate: sparse weights, from softmax (alpha = 1) to sparsemax (alpha = 2) and beyond.

    pi_k(x) = [(alpha - 1) t_k(x) - tau(x)]_+^(1 / (alpha - 1)),    tau such that they sum to one

of any inner gate's logits t (Peters, Niculae and Martins 2019). alpha is held or estimated, as Correia, Niculae and
Martins (2019) do in attention. What is behind it is in `moestat.gates.tsallis`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from moestat.errors import InputError
from moestat.gates.constant import Constant
from moestat.gates.tsallis import Tsallis, check_alpha


@dataclass(frozen=True)
class Entmax(Tsallis):
    """Weights [(alpha - 1) t_k - tau]_+^(1 / (alpha - 1)) of an inner gate's logits t.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.
    alpha : float, optional
        The order to hold, from 1 on: 1 is the inner gate itself, 2 is sparsemax. Estimated when left out, as the
        positive parameter ``excess``, alpha - 1.

    Notes
    -----
    For alpha below 2 weights leave the support with slope zero, and the log-likelihood has derivatives everywhere;
    at 2 and beyond, it has kinks, and a maximum may lie at one (see `Sparsemax`). Beyond 2 the slope at the edge is
    infinite. Between 1.5 and 2 the second derivatives are: a row right at an edge may outweigh all others in the
    observed information, and with it in standard errors.

    The likelihood may rise towards a limit of an estimated alpha: one, or infinity, where the expert with the
    largest score takes all. ``bounds={"gate.excess": (0.01, 1.0)}`` in `moestat.fit` keeps it off both.

    References
    ----------
    Peters, Niculae and Martins (2019), Sparse sequence-to-sequence models, ACL, arXiv 1905.05702.
    Correia, Niculae and Martins (2019), Adaptively sparse transformers, EMNLP, arXiv 1909.00015.
    """

    alpha: float | None = None

    name: ClassVar[str] = "entmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self.alpha)
        if self.alpha is None and isinstance(self.inner, Constant):
            raise InputError(
                "inner must be a gate with covariates where alpha is estimated; got a constant one, whose weights are "
                "the same in every row whatever alpha. Hold alpha, or use the constant gate itself."
            )

    @property
    def held(self) -> float | None:
        return self.alpha
