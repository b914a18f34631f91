"""How often an interval holds the exact exponent: losses n^{-1/2} times a law."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import sqrt
from zlib import crc32

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from moestat.montecarlo.slopes import Slope, effective_slope
from moestat.montecarlo.slopes.weighted import STRAY_LEVEL, weighted_line
from moestat.typing import FloatArray
from simulations.slopes.laws import LAWS, Design, decaying, narrowing, scattered

TRUE_SLOPE = -0.5
FUNCTIONALS = ("mean", "median", "geometric")
SEED = 20261123


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    functional: str
    law: str
    sizes: int
    replications: int
    nested: bool = False
    interval: str = "weighted"

    @property
    def seed(self) -> int:
        """Another one for each case, the same whatever else is run."""
        return SEED + crc32(repr(self).encode())

    def design(self) -> Design:
        return Design(np.geomspace(1e2, 1e5, self.sizes), self.replications, self.nested)

    def losses(self, sizes: FloatArray) -> Callable[[FloatArray], FloatArray]:
        if self.law == "spread 0.9 to 0.3":
            return narrowing(sizes, self.functional)
        if self.law == "extra scatter":
            return scattered(sizes, self.replications, self.seed)
        return decaying(self.law, sizes)

    def slopes(self, studies: int) -> Iterator[Slope]:
        """Of so many synthetic studies."""
        design = self.design()
        for measured in design.studies(self.losses(design.sizes), self.seed, studies):
            yield effective_slope(measured, self.functional, nested=self.nested, interval=self.interval)


def cases() -> list[Case]:
    """All rows of the table."""
    apart = [Case(f, law, j, r) for f, law, j, r in product(FUNCTIONALS, LAWS, (8, 12), (40, 400))]
    nested = [Case(f, law, *at, True) for f, law, at in product(FUNCTIONALS, LAWS, ((8, 40), (12, 40), (12, 200)))]
    others = [
        Case(f, law, 12, r) for f, law, r in product(FUNCTIONALS, ("spread 0.9 to 0.3", "extra scatter"), (40, 400))
    ]
    by_bootstrap = [Case("mean", law, 12, r, False, "bootstrap") for law, r in product(list(LAWS)[2:], (40, 200))]
    return [*apart, *nested, *others, *by_bootstrap]


def coverage(case: Case, studies: int) -> dict[str, object]:
    """Share of intervals that hold the exponent, with its Monte Carlo standard error, and two other intervals' shares.

    ``plain`` has each size's own Monte Carlo variance, no Birge ratio and normal quantiles; ``student`` has own
    variances, the Birge ratio where it exceeds one, and Student's quantiles always.
    """
    held, widths, rejected, resampled, plain, student = [], [], [], [], [], []
    for slope in case.slopes(studies):
        low, high = slope.interval
        held.append(low <= TRUE_SLOPE <= high)
        widths.append((high - low) / 2)
        rejected.append(slope.fit.strays)
        resampled.append(slope.stray_p < STRAY_LEVEL)
        own = weighted_line(replace(slope.points, variances=slope.points.own_variances))
        off = abs(float(own.coefficients[1]) - TRUE_SLOPE)
        plain.append(off <= ndtri(0.975) * sqrt(own.covariance[1, 1]))
        student.append(off <= stdtrit(own.df, 0.975) * own.standard_errors[1])
    share = float(np.mean(held))
    return {
        **vars(case),
        "studies": studies,
        "coverage": share,
        "mcse": sqrt(share * (1 - share) / studies),
        "half_width": float(np.mean(widths)),
        "lack_of_fit": float(np.mean(rejected)),
        "resampled": float(np.mean(resampled)),
        "plain": float(np.mean(plain)),
        "student": float(np.mean(student)),
    }


def table(studies: int = 1000) -> pd.DataFrame:
    """All cases."""
    return pd.DataFrame([coverage(case, studies) for case in cases()])
