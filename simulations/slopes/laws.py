"""Laws of losses, light and heavy, and curves of their decay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from moestat.montecarlo.slopes import Measured
from moestat.typing import FloatArray

#: Losses with a scale of one, of standard normal numbers.
LAWS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "half-normal": np.abs,
    "lognormal 0.6": lambda z: np.exp(0.6 * z),
    "lognormal 1.2": lambda z: np.exp(1.2 * z),
    "Lomax 2.5": lambda z: np.expm1(-np.log(ndtr(-z)) / 2.5),
}


@dataclass(frozen=True)
class Design:
    """Sample sizes and replications.

    Parameters
    ----------
    sizes : ndarray (J,)
    replications : int
    nested : bool
        Whether a replication's data grow from size to size. Its numbers then have the correlations of sums that grow,
        sqrt(n / n'), before the law is applied.
    """

    sizes: FloatArray
    replications: int
    nested: bool = False

    def normals(self, rng: np.random.Generator) -> FloatArray:
        """Standard normal numbers (R, J)."""
        z = rng.standard_normal((self.replications, len(self.sizes)))
        if not self.nested:
            return z
        x = np.log(self.sizes)
        return z @ np.linalg.cholesky(np.exp(-np.abs(x[:, None] - x) / 2)).T

    def studies(self, losses: Callable[[FloatArray], FloatArray], seed: int, count: int) -> Iterator[Measured]:
        """So many studies, each from its own numbers."""
        rng = np.random.default_rng(seed)
        for _ in range(count):
            yield Measured(self.sizes, tuple(losses(self.normals(rng)).T))


def decaying(law: str, sizes: FloatArray, exponent: float = 0.5) -> Callable[[FloatArray], FloatArray]:
    """Losses n^{-exponent} times the law."""
    return lambda z: LAWS[law](z) * sizes**-exponent


def narrowing(sizes: FloatArray, functional: str) -> Callable[[FloatArray], FloatArray]:
    """Lognormal losses whose spread falls from 0.9 to 0.3, with the functional n^{-1/2}."""
    spread = np.linspace(0.9, 0.3, len(sizes))
    shift = np.square(spread) / 2 if functional == "mean" else np.zeros_like(spread)
    return lambda z: np.exp(spread * z - shift) * sizes**-0.5


def scattered(sizes: FloatArray, replications: int, seed: int) -> Callable[[FloatArray], FloatArray]:
    """Lognormal losses whose scale scatters around n^{-1/2} by twice the Monte Carlo error, anew in every study."""
    rng = np.random.default_rng((seed, 1))

    def losses(z: FloatArray) -> FloatArray:
        stray = 2 * 0.6 / np.sqrt(replications) * rng.standard_normal(len(sizes))
        return np.asarray(np.exp(0.6 * z + stray) * sizes**-0.5)

    return losses
