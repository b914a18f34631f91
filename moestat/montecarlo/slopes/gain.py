"""Whether a fit with more experts moved away from the fit that it extends: its gain in log-likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from moestat.errors import InputError
from moestat.typing import BoolArray, FloatArray

#: A gain of the whole log-likelihood that is next to nothing: a likelihood ratio of 1.05.
STILL = 0.05
#: A boundary may leave half of the maxima without any gain; this share is beyond it.
STILL_SHARE = 0.75


@dataclass(frozen=True, eq=False)
class Gain:
    """Gains over a reference fit, by sample size.

    Parameters
    ----------
    sizes, medians, still : ndarray (J,)
        Sample sizes, median gains, and shares of replications whose gain is below 0.05.
    """

    sizes: FloatArray
    medians: FloatArray
    still: FloatArray

    @classmethod
    def of(cls, by_size: Mapping[float, ArrayLike]) -> Gain:
        """From gains by sample size; those that are NaN are left out. They may be negative."""
        sizes = sorted(by_size)
        gains = [np.asarray(by_size[n], dtype=np.float64) for n in sizes]
        gains = [one[~np.isnan(one)] for one in gains]
        if empty := [n for n, one in zip(sizes, gains, strict=True) if not len(one)]:
            raise InputError(f"gains of n={empty[0]:g} must hold a number; leave this size out.")
        medians = np.array([np.median(one) for one in gains])
        return cls(np.array(sizes, dtype=np.float64), medians, np.array([(one < STILL).mean() for one in gains]))

    def stood_still(self, low: float, high: float) -> BoolArray:
        """At which sizes from low to high three quarters of the fits or more gained less than 0.05 (J,)."""
        return (self.sizes >= low) & (self.sizes <= high) & (self.still >= STILL_SHARE)
