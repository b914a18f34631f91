"""Every slope of a study, with its prediction and its verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.collecting import Group, groups
from moestat.montecarlo.design import NESTED
from moestat.montecarlo.predictions import Predicted, predicted
from moestat.montecarlo.recording import DISTANCES, GAIN, MEASURE, Loss
from moestat.montecarlo.slopes import (
    Gain,
    Measured,
    NoSlopeError,
    Slope,
    Strata,
    Verdict,
    effective_slope,
    judge,
    strata,
)
from moestat.montecarlo.store import Store
from moestat.montecarlo.study import Study
from moestat.typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd


#: A verdict on a fit with fewer trusted ends than this says so.
MOSTLY = 0.95


@dataclass(frozen=True, eq=False)
class Measurement:
    """The slope of one column of one fitted model under one protocol.

    Parameters
    ----------
    fit, protocol, measure : str
    predicted : Predicted
    slope : Slope or None
        ``None`` where there is none; ``problem`` says why.
    verdict : Verdict or None
    n_missing, n_rows : int
        Replications without a value, and all.
    trusted : float
        Share of ends that are trusted.
    problem : str
        Why there is no slope, or no verdict.
    remarks : tuple of str
        What a verdict has to be read with.
    """

    fit: str
    protocol: str
    measure: str
    predicted: Predicted
    slope: Slope | None
    verdict: Verdict | None
    n_missing: int
    n_rows: int
    trusted: float
    problem: str = ""
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, one line of a table."""
        slope, verdict = self.slope, self.verdict
        low, high = (np.nan, np.nan) if slope is None else slope.interval
        rate = self.predicted.rate
        return {
            "fit": self.fit,
            "protocol": self.protocol,
            "measure": self.measure,
            "slope": np.nan if slope is None else slope.slope,
            "standard_error": np.nan if slope is None else slope.standard_error,
            "low": low,
            "high": high,
            "n_min": np.nan if slope is None else slope.window[0],
            "n_max": np.nan if slope is None else slope.window[1],
            "sizes": 0 if slope is None else len(slope.points),
            "replications": 0 if slope is None else int(slope.points.counts.min()),
            "predicted": "" if rate is None else str(rate),
            "bound": self.predicted.bound,
            "source": self.predicted.source,
            "missing": self.n_missing,
            "trusted": self.trusted,
            "verdict": "none" if verdict is None else verdict.name,
            "sentence": self.problem if verdict is None else " ".join([verdict.sentence, *self.remarks]),
        }


def slope_table(
    study: Study,
    store: str | Path,
    *,
    measures: Iterable[str] | None = None,
    functional: str = "mean",
    window: tuple[float, float] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Effective slopes of a study's losses and distances, beside their predictions, with verdicts.

    Parameters
    ----------
    study : Study
    store : str or Path
    measures : iterable of str, optional
        Columns: the losses and the distances of the study when left out. Summands of losses are columns as well, as
        ``"voronoi/masses"``, and so are deviations of parameters, as ``"deviation/over-covered: gate.slopes"``.
    functional : {"mean", "median", "geometric"}
        Whose slope.
    window : tuple of float, optional
        The smallest and the largest sample size.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        One row for each fitted model, protocol and column. The slope is that of the sizes that were run: no window
        shows a rate, which is a limit.

    See Also
    --------
    moestat.montecarlo.slopes : one slope from any numbers, with all its evidence.
    """
    import pandas as pd

    options = Options(functional, window, level)
    with Store.open(store, read_only=True) as journal:
        found = [
            measurement.to_dict()
            for group in groups(study, journal)
            for measurement in measurements(study, group, options, measures)
        ]
    return pd.DataFrame(found)


@dataclass(frozen=True)
class Options:
    """How slopes are taken."""

    functional: str = "mean"
    window: tuple[float, float] | None = None
    level: float = 0.95


def main_measures(study: Study, fit: str) -> list[str]:
    """The columns that a study is about: losses and distances."""
    own = study.fit(fit).losses
    labels = study.record.losses if own is None else own
    return [*(Loss(label).label for label in labels), *study.record.distances]


def parts_of(group: Group) -> list[str]:
    """Columns that say where a loss comes from: its summands, and the deviations of parameters."""
    known = (*DISTANCES, MEASURE)
    return [
        name
        for name in group.columns
        if "/" in name and not name.startswith(("cell/", "estimate/")) and name not in known
    ]


def measurements(
    study: Study, group: Group, options: Options, measures: Iterable[str] | None = None
) -> Iterator[Measurement]:
    """The measurements of one fitted model under one protocol."""
    chosen = main_measures(study, group.fit) if measures is None else list(measures)
    gain = gain_of(study, group)
    for measure in chosen:
        if measure not in group.columns:
            raise InputError(f"measures must be columns of {group.fit!r}, {list(group.columns)}; got {measure!r}.")
        yield _measurement(study, group, measure, options, gain)


def gain_of(study: Study, group: Group) -> Gain | None:
    """Gains over the reference fit, of fits with more experts than it has."""
    reference = study.reference
    if reference is None or study.fit(group.fit).model.n_experts <= reference[0].model.n_experts:
        return None
    values = {float(n): x for n, x in group.values(GAIN).items() if not np.isnan(x).all()}
    return Gain.of(values) if values else None


def strata_of(study: Study, group: Group, measure: str, options: Options) -> Strata | None:
    """The slope in each configuration of cells, where there is more than one."""
    labels = group.configurations()
    if len({label for one in labels.values() for label in one.tolist()}) < 2:
        return None
    try:
        return strata(group.measured(measure), list(labels.values()), **_settings(study, options))
    except NoSlopeError:
        return None


def _measurement(study: Study, group: Group, measure: str, options: Options, gain: Gain | None) -> Measurement:
    theory = predicted(study, group.fit, group.protocol, measure)
    n_missing, n_rows = group.missing(measure)
    bare = Measurement(group.fit, group.protocol, measure, theory, None, None, n_missing, n_rows, group.trusted)
    try:
        measured = group.measured(measure)
        slope = effective_slope(measured, **_settings(study, options))
    except NoSlopeError as error:
        return replace(bare, problem=str(error))

    def ruled(of: Slope) -> Verdict:
        return judge(of, theory.rate, bound=theory.bound, margin=study.margin, identified=theory.identified, gain=gain)

    verdict, remarks = ruled(slope), _remarks(theory, group.trusted)
    if n_missing and n_missing == group.n_failed:  # other gaps are of cells that a fit does not have
        worst = [effective_slope(one, **_settings(study, options)) for one in _worst_cases(measured)]
        ends = " or ".join(f"{one.slope:.3f} ({ruled(one).name})" for one in worst)
        said = f"{n_missing} of {n_rows} replications have no value; were all zero or the largest, it is {ends}."
        if any(ruled(one).ruling is not verdict.ruling for one in worst):
            return replace(bare, slope=slope, problem=f"missing values decide it. {verdict.sentence} {said}")
        remarks = (*remarks, said)
    return replace(bare, slope=slope, verdict=verdict, remarks=remarks)


def _remarks(theory: Predicted, trusted: float) -> tuple[str, ...]:
    """What a verdict has to be read with."""
    found = [f"{theory.note[0].upper()}{theory.note[1:]}."] if theory.note else []
    if trusted < MOSTLY:
        found.append(f"{trusted:.0%} of the ends are trusted maxima.")
    if theory.rate is None and theory.source:
        found.append(f"{theory.source[0].upper()}{theory.source[1:]}.")
    return tuple(found)


def _worst_cases(measured: Measured) -> list[Measured]:
    """With all that is missing at zero, and at the largest value of its size."""

    def filled(of_missing: Callable[[FloatArray], float]) -> Measured:
        values = tuple(np.where(np.isnan(x), of_missing(x), x) for x in measured.values)
        return Measured(measured.sizes, values, measured.replications)

    return [filled(lambda x: 0.0), filled(lambda x: float(np.nanmax(x, initial=0.0)))]


def _settings(study: Study, options: Options) -> dict[str, Any]:
    return {
        "functional": options.functional,
        "window": options.window,
        "level": options.level,
        "nested": study.design.samples == NESTED,
    }
