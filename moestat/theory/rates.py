"""Rates of convergence as numbers: n^{-e} (log n)^l, and what they look like over a finite window of n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from moestat.errors import InputError
from moestat.theory.powers import Power
from moestat.typing import FloatArray, IntArray

ZERO = Fraction(0)


@dataclass(frozen=True)
class Rate:
    """A rate n^{-exponent} (log n)^{log_power}.

    Parameters
    ----------
    exponent : Fraction or None
        ``None`` where it is slower than any power of n.
    log_power : Fraction
        A proof's bound often has (log n / n)^e, log_power = e; a regular estimator has none.
    words : str
        What is said instead, where a power of n does not tell it all.
    """

    exponent: Fraction | None
    log_power: Fraction = ZERO
    words: str = ""

    @overload
    def at(self, n: float, constant: float = 1.0) -> float: ...

    @overload
    def at(self, n: FloatArray | IntArray | Sequence[float], constant: float = 1.0) -> FloatArray: ...

    def at(self, n: ArrayLike, constant: float = 1.0) -> float | FloatArray:
        """constant * (log n)^{log_power} n^{-exponent}, for n > 1: one number, or an array of them in its shape."""
        logs = np.log(_sizes("n", n))
        values = constant * np.exp(float(self.log_power) * np.log(logs) - float(self._known()) * logs)
        return values if np.ndim(n) else float(values)

    def effective_slope(self, low: float, high: float) -> float:
        """Slope of its logarithm on log n between two sizes, the factor of log n included.

        (log n / n)^{1/2} has -0.445 between 1e3 and 1e5, and tends to -1/2 as both grow.
        """
        low, high = _size("low", low), _size("high", high)
        if high <= low:
            raise InputError(f"high must be larger than low={low:g}; got {high:g}.")
        return float(self.log_power) * log(log(high) / log(low)) / log(high / low) - float(self._known())

    def slopes(self, low: float, high: float) -> tuple[float, float]:
        """Between which slopes a fitted one agrees with it: without the factor of log n, and with it."""
        bare, full = Rate(self._known()), self
        ends = sorted((bare.effective_slope(low, high), full.effective_slope(low, high)))
        return ends[0], ends[1]

    def _known(self) -> Fraction:
        if self.exponent is None:
            raise InputError(f"this rate is no power of n: {self}. Ask .exponent first; it is None.")
        return self.exponent

    def __str__(self) -> str:
        if self.words:
            return self.words
        if self.exponent is None:
            return "slower than any power of n"
        return f"n^{{-{self.exponent}}}" if self.exponent != 1 else "1/n"


#: Slower than any power of n.
SLOW = Rate(None)

#: What proofs give for densities and losses.
ROOT = Rate(Fraction(1, 2), Fraction(1, 2))


def rate_of(power: Power, m: int) -> Rate:
    """The rate of a deviation in a cell of m fitted atoms, where a loss with this power of it falls like `ROOT`."""
    exponent = 1 / (2 * power.at(m))
    return Rate(exponent, exponent)


def _size(name: str, n: float) -> float:
    if np.ndim(n):
        raise InputError(f"{name} must be one number of rows; got {n!r}.")
    return float(_sizes(name, n))


def _sizes(name: str, n: ArrayLike) -> FloatArray:
    values = np.asarray(n)
    if values.dtype.kind not in "iuf" or not (np.isfinite(values) & (values > 1)).all():
        raise InputError(f"{name} must be a finite number of rows larger than 1; got {n!r}.")
    return values.astype(np.float64)
