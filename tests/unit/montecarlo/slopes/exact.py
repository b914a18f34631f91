"""Studies without luck: the values of every size are the quantiles of one law, times a curve."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from moestat.montecarlo.slopes import Measured

SIZES = np.geomspace(1e3, 1e5, 12)


def exact(curve, sizes=SIZES, replications=200, spread=0.6):
    """Mean, median and geometric mean are the curve times constants, and so is their Monte Carlo error."""
    sizes = np.asarray(sizes, dtype=float)
    quantiles = np.exp(spread * ndtri((np.arange(replications) + 0.5) / replications))
    return Measured(sizes, tuple(value * quantiles for value in curve(sizes)))
