"""What verdicts say of losses c n^{-g} (log n)^l (1 + a n^{-h}), whose slope on a window is not their exponent.

Each is judged twice: against its own exponent, and against a wrong theory, the worst there is, whose exponent is the
noise-free slope on the window. Whatever is judged, a verdict speaks of that slope; its wording is wrong where it puts
it on the wrong side of an end of the band.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import pandas as pd

from moestat.montecarlo.slopes import Ruling, Verdict, effective_slope, judge
from moestat.theory.rates import Rate
from moestat.typing import FloatArray
from simulations.slopes.laws import Design

SIZES = np.geomspace(1e3, 1e5, 12)
SPREAD = 0.6
MARGIN = 0.05
SEED = 20261124


@dataclass(frozen=True)
class Member:
    """One loss of the family."""

    exponent: Fraction
    log_power: Fraction
    a: float
    h: float

    @property
    def rate(self) -> Rate:
        return Rate(self.exponent, self.log_power)

    def curve(self, sizes: FloatArray) -> FloatArray:
        return self.rate.at(sizes) * (1 + self.a * sizes**-self.h)

    @property
    def effective(self) -> float:
        """Noise-free slope on the window."""
        x = np.log(SIZES)
        return float(np.polyfit(x, np.log(self.curve(SIZES)), 1)[0])

    @property
    def predictions(self) -> dict[str, Rate]:
        return {"own": self.rate, "worst": Rate(Fraction(-self.effective).limit_denominator(1000))}


def members() -> list[Member]:
    """The family."""
    halves = (Fraction(1, 4), Fraction(1, 2))
    grid = product(halves, (False, True), (-0.9, -0.5, 0.0, 0.5, 1.0, 2.0, 5.0), (1 / 8, 1 / 4, 1 / 2))
    return [Member(g, g if log else Fraction(0), a, h) for g, log, a, h in grid if a or h == 1 / 2]


def wrong(verdict: Verdict, effective: float) -> bool:
    """Whether a verdict puts the noise-free slope where it is not."""
    low, high = verdict.predicted_interval or (-np.inf, np.inf)
    said = {
        Ruling.CONSISTENT: low < effective < high,
        Ruling.WITHIN_BOUND: effective < high,
        Ruling.FASTER: effective < low,
        Ruling.SLOWER: effective > high,
    }
    return verdict.ruling in said and not said[verdict.ruling]


def verdicts(member: Member, replications: int, studies: int, seed: int) -> Iterator[tuple[str, bool, Verdict]]:
    """By the prediction, and whether it is taken for a bound."""
    curve = member.curve(SIZES)
    for measured in Design(SIZES, replications).studies(lambda z: np.exp(SPREAD * z) * curve, seed, studies):
        slope = effective_slope(measured)
        for name, rate in member.predictions.items():
            yield name, False, judge(slope, rate, margin=MARGIN)
        yield "own", True, judge(slope, member.rate, margin=MARGIN, bound=True)


def rows(member: Member, replications: int, studies: int, seed: int) -> list[dict[str, object]]:
    """A row for each prediction: shares of the rulings, and of wrong wording."""
    found: dict[tuple[str, bool], list[Verdict]] = {}
    for name, bound, verdict in verdicts(member, replications, studies, seed):
        found.setdefault((name, bound), []).append(verdict)
    return [
        {
            "exponent": float(member.exponent),
            "log_power": float(member.log_power),
            "a": member.a,
            "h": member.h,
            "replications": replications,
            "effective": member.effective,
            "prediction": name,
            "bound": bound,
            "band_low": given[0].predicted_interval[0] if given[0].predicted_interval else np.nan,
            "band_high": given[0].predicted_interval[1] if given[0].predicted_interval else np.nan,
            "studies": studies,
            "wrong": float(np.mean([wrong(one, member.effective) for one in given])),
            **{one.value: float(np.mean([verdict.ruling is one for verdict in given])) for one in SHOWN},
        }
        for (name, bound), given in found.items()
    ]


#: Rulings that a study with 12 sizes over two decades can end with.
SHOWN = (
    *(Ruling.CONSISTENT, Ruling.WITHIN_BOUND, Ruling.FASTER, Ruling.SLOWER),
    *(Ruling.NOT_YET, Ruling.NO_POWER_LAW, Ruling.TOO_NOISY),
)


def table(studies: int = 200) -> pd.DataFrame:
    """The whole family, with 100 and with 400 replications of each size."""
    designs = [(member, r, k) for k, (member, r) in enumerate(product(members(), (100, 400)))]
    return pd.DataFrame([row for member, r, k in designs for row in rows(member, r, studies, SEED + k)])


def false_consistent(found: pd.DataFrame) -> pd.DataFrame:
    """Share of "consistent" with a theory whose exponent is not the loss's, by replications.

    Of the members whose slope on the window is further than the margin from their exponent, judged against that slope.
    """
    away = found[(found.prediction == "worst") & ((found.effective + found.exponent).abs() > MARGIN)]
    return away.groupby("replications").agg(
        members=("consistent", "size"), mean=("consistent", "mean"), largest=("consistent", "max")
    )
