"""Sparsemax gate: the point of the simplex nearest to the scores.

    pi(x) = argmin_p |p - t(x)|^2,    pi_k(x) = max(t_k(x) - tau(x), 0)

of any inner gate's logits t (Martins and Astudillo 2016). Weights are piecewise linear in the scores. What is behind
it is in `moestat.gates.tsallis`; it is entmax with alpha = 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from moestat.gates.tsallis import Tsallis


@dataclass(frozen=True)
class Sparsemax(Tsallis):
    """Weights max(t_k - tau, 0) of an inner gate's logits t.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.

    Notes
    -----
    An expert at the edge of a row's support has weight zero and a density that need not be: there the weight's
    derivatives differ from side to side, and so do those of the log-likelihood. A maximum may lie at such a kink,
    where the gradient is not zero and standard errors mean little. `Entmax` with alpha below two has no kinks.

    References
    ----------
    Martins and Astudillo (2016), From softmax to sparsemax: a sparse model of attention and multi-label
    classification, ICML, arXiv 1602.02068.
    """

    name: ClassVar[str] = "sparsemax"

    @property
    def held(self) -> float:
        return 2.0
