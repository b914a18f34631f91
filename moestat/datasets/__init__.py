"""Small real data sets with their sources."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from moestat.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Dataset:
    """A data set: its rows, what they are, where they were published.

    Parameters
    ----------
    name, description, source : str
    response : str
    covariates, gate_covariates : tuple of str
        Columns of a model to start with.
    """

    name: str
    description: str
    source: str
    response: str
    covariates: tuple[str, ...]
    gate_covariates: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The rows."""
        import pandas as pd

        if self.name == "anes96":
            return _anes96()
        with (files("moestat.datasets") / f"{self.name}.csv").open() as stream:
            return pd.read_csv(stream)

    @property
    def X(self) -> pd.DataFrame:
        """Covariates of the experts."""
        return self.frame[list(self.covariates)]

    @property
    def y(self) -> pd.Series[Any]:
        """Response."""
        return self.frame[self.response]

    @property
    def Z(self) -> pd.DataFrame:
        """Covariates of the gate."""
        return self.frame[list(self.gate_covariates)]


def _anes96() -> pd.DataFrame:
    import numpy as np
    from statsmodels.datasets import anes96

    frame: pd.DataFrame = anes96.load_pandas().data
    # seven-point party identification: 0-1 Democrat, 2-4 independent (leaners included), 5-6 Republican
    frame["party"] = np.select([frame["PID"] <= 1, frame["PID"] <= 4], ["Democrat", "Independent"], "Republican")
    return frame


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="tone",
            description=(
                "Perception of tones: a musician tunes an adjustable tone (tuned) to the octave above a fundamental "
                "whose overtones are stretched by a known factor (stretchratio); 150 trials."
            ),
            source="Cohen, E. A. (1980), Inharmonic tone perception, PhD thesis, Stanford University.",
            response="tuned",
            covariates=("stretchratio",),
            gate_covariates=("stretchratio",),
        ),
        Dataset(
            name="co2",
            description=(
                "Gross national product per capita (GNP, thousands of US dollars) and carbon dioxide emission per "
                "capita (CO2, tonnes) of 28 countries in 1996."
            ),
            source=(
                "Hurn, M., Justel, A. and Robert, C. P. (2003), Estimating mixtures of regressions, "
                "Journal of Computational and Graphical Statistics 12, 55-79."
            ),
            response="CO2",
            covariates=("GNP",),
            gate_covariates=("GNP",),
        ),
        Dataset(
            name="ethanol",
            description=(
                "Exhaust of a single-cylinder engine burning ethanol: nitric oxides (NO, micrograms per joule) and "
                "equivalence ratio of air and fuel (Equivalence); 88 runs."
            ),
            source="Brinkman, N. D. (1981), Ethanol fuel, SAE Transactions 90, 1410-1424.",
            response="Equivalence",
            covariates=("NO",),
            gate_covariates=("NO",),
        ),
        Dataset(
            name="faithful",
            description=(
                "The Old Faithful geyser in Yellowstone: length of an eruption (eruptions, minutes) and the wait until "
                "the next (waiting, minutes); 272 eruptions."
            ),
            source=(
                "Azzalini, A. and Bowman, A. W. (1990), A look at some data on the Old Faithful geyser, "
                "Applied Statistics 39, 357-365; in this version Härdle, W. (1991), Smoothing Techniques with "
                "Implementation in S, Springer."
            ),
            response="waiting",
            covariates=("eruptions",),
            gate_covariates=("eruptions",),
        ),
        Dataset(
            name="mcycle",
            description=(
                "Simulated motorcycle accident, for the test of helmets: acceleration of the head (accel, g) at times "
                "after the impact (times, milliseconds); 133 rows."
            ),
            source=(
                "Silverman, B. W. (1985), Some aspects of the spline smoothing approach to non-parametric regression "
                "curve fitting, Journal of the Royal Statistical Society Series B 47, 1-52."
            ),
            response="accel",
            covariates=("times",),
            gate_covariates=("times",),
        ),
        Dataset(
            name="tempanomalies",
            description=(
                "Global temperature at land stations, 136 years from 1880 to 2015 (Year): difference of the annual "
                "mean from that of 1951-1980 (AnnualAnomaly, degrees Celsius)."
            ),
            source=(
                "Hansen, J., Ruedy, R., Glascoe, J. and Sato, M. (1999), GISS analysis of surface temperature change, "
                "Journal of Geophysical Research 104, 30997-31022; NASA GISS, continued to 2015 and distributed by the "
                "Carbon Dioxide Information Analysis Center."
            ),
            response="AnnualAnomaly",
            covariates=("Year",),
            gate_covariates=("Year",),
        ),
        Dataset(
            name="anes96",
            description=(
                "American National Election Study 1996, 944 respondents: party identification in three classes "
                "(party), place on a scale from liberal (1) to conservative (7) (selfLR), income class (income), ..."
            ),
            source="American National Election Studies (1996), as distributed with statsmodels.",
            response="party",
            covariates=("selfLR",),
            gate_covariates=("income",),
        ),
    )
}


def load(name: str) -> Dataset:
    """A data set by name; see `DATASETS` for the names.

    Raises
    ------
    InputError
        When there is no such data set.
    """
    if name not in DATASETS:
        raise InputError(f"name must be one of {sorted(DATASETS)}; got {name!r}.")
    return DATASETS[name]


__all__ = ["DATASETS", "Dataset", "load"]
