"""Log densities of counts and of waiting times without cancellation, vectorisable.

A large count has a log probability of a few units that is a difference of terms of millions. Written as the
log probability under its own best mean, minus a deviance, nothing cancels (Loader 2000, Fast and accurate
computation of binomial probabilities).
"""

from __future__ import annotations

from math import factorial, lgamma, log, pi

import numpy as np

from moestat.kernels.compile import jit, jit_exact
from moestat.kernels.vmath import vexp, vlog
from moestat.typing import FloatArray

#: Largest logarithm of a mean: sums of squares of such means stay within double precision.
LARGEST_LOG_MEAN = 300.0

#: Logarithms of y! below this count come from a table, beyond it from Stirling's series.
TABLE = 16


F3, F4, F5, F6, F7, F8, F9, F10, F11, F12, F13 = (1.0 / factorial(k) for k in range(3, 14))


@jit_exact
def excess(x: float) -> float:
    """exp(x) - 1 - x to full relative precision, for x up to `LARGEST_LOG_MEAN` (capped there)."""
    x = min(x, LARGEST_LOG_MEAN)
    # x^2 / 2! + x^3 / 3! + ... up to x^13, exact to rounding for |x| < 1/4
    x2 = x * x
    x4 = x2 * x2
    low = (0.5 + x * F3) + x2 * (F4 + x * F5)
    middle = (F6 + x * F7) + x2 * (F8 + x * F9)
    high = (F10 + x * F11) + x2 * (F12 + x * F13)
    near = x2 * (low + x4 * (middle + x4 * high))
    far = vexp(x) - 1.0 - x
    return near if -0.25 < x < 0.25 else far


def _small_counts() -> FloatArray:
    return np.array([y * log(max(y, 1)) - y - lgamma(y + 1) for y in range(TABLE)])


_SMALL = _small_counts()
HALF_LOG_2PI = 0.5 * log(2.0 * pi)


@jit
def saturated(y: FloatArray, log_y: FloatArray, out: FloatArray) -> None:
    """log_y = log y, 0 for y = 0; out = log Poisson(y; y) = y log y - y - log y!, for whole y (B,)."""
    for j in range(y.size):
        t = max(y[j], 1.0)
        log_y[j] = vlog(t)
        u = 1.0 / t
        v = u * u
        series = u * (1.0 / 12.0 - v * (1.0 / 360.0 - v * (1.0 / 1260.0 - v * (1.0 / 1680.0 - v / 1188.0))))
        far = -HALF_LOG_2PI - 0.5 * log_y[j] - series
        out[j] = _SMALL[int(t)] if t < TABLE else far
        out[j] = 0.0 if y[j] == 0.0 else out[j]
