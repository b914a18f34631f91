"""All mass at zero: the structural zeros of zero-inflated counts.

    f_k(y | x) = 1 if y = 0, else 0

Beside a count law it makes the zero-inflated model [Lambert 1992], the gate's odds the odds of a structural zero.
There is nothing to estimate. A normal law about zero is `noise`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moestat.data import Block, BlockSource
from moestat.errors import InputError
from moestat.experts.counts import check_counts, raw_responses
from moestat.experts.parameterless import ParameterlessExpert
from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Zero(ParameterlessExpert):
    """A count that is always zero; for a tuple of families, such as ``expert=("zero", "poisson")``.

    References
    ----------
    Lambert (1992), Zero-inflated Poisson regression, Technometrics 34.
    """

    name: ClassVar[str] = "zero"
    discrete: ClassVar[bool] = True

    def check(self, source: BlockSource) -> None:
        self.check_beside(source)
        for y, _ in raw_responses(source):
            if y.any():
                raise InputError(
                    f"the zero expert describes zeros only; y holds {y[y != 0][0]:g}. Put it beside a family of "
                    "counts, as expert=('zero', 'poisson'); a normal law about zero is 'noise'."
                )

    def check_beside(self, source: BlockSource) -> None:
        super().check_beside(source)
        check_counts(self.name, source, " A normal law about zero is the noise expert.")

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        out[:] = np.where(block.Y[0] == 0.0, 0.0, -np.inf)

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return np.zeros((len(local), block.weight.size))

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        return np.repeat((y >= 0.0).astype(np.float64)[None], len(local), axis=0)

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        return np.zeros((1, chosen.size))
