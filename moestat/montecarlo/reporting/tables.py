"""Tables of a report: performance with Monte Carlo standard errors, failures and their worst cases, certificates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from moestat.montecarlo.collecting import Group
from moestat.montecarlo.measuring import Measurement
from moestat.montecarlo.recording import GAIN
from moestat.montecarlo.slopes import Strata
from moestat.montecarlo.slopes.printing import in_words
from moestat.montecarlo.study import Study
from moestat.typing import FloatArray

#: Reasons of failures that are shown of a cell, how long they may be, and numbers in them.
REASONS, LONGEST = 5, 200
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")

#: What stands where there is no number.
NOTHING = "–"


#: Columns that hold words; all others hold numbers.
WORDS = ("fit", "protocol", "measure", "parameter", "reason", "end points", "predicted", "verdict", "configuration")


@dataclass(frozen=True)
class Table:
    """Cells of text under their headings."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def words(self) -> tuple[bool, ...]:
        """Which columns hold words."""
        return tuple(name in WORDS for name in self.head)


def joined(parts: Iterable[Table | None]) -> tuple[Table, ...]:
    """Tables of one title and heading are one: their rows one after the other."""
    found: dict[tuple[str, tuple[str, ...]], Table] = {}
    for part in parts:
        if part is not None:
            key = part.title, part.head
            found[key] = replace(found[key], rows=found[key].rows + part.rows) if key in found else part
    return tuple(found.values())


def number(value: float, digits: int = 4) -> str:
    """A number as a reader wants it."""
    if not np.isfinite(value):
        return NOTHING if np.isnan(value) else str(value)
    return f"{value:.{digits}g}"


def with_error(value: float, error: float) -> str:
    """An estimate with its Monte Carlo standard error in parentheses."""
    return number(value) if not np.isfinite(error) else f"{number(value)} ({number(error, 2)})"


def share(count: float, total: float) -> str:
    """A share in per cent with its Monte Carlo standard error."""
    if not total:
        return NOTHING
    p = count / total
    return f"{100 * p:.1f} ({100 * sqrt(p * (1 - p) / total):.1f})"


# --------------------------------------------------------------------------------------- what was run
def counts_table(group: Group) -> Table:
    """Replications of each cell: planned, run, and what became of them."""
    rows = []
    for n, cell in group.cells.items():
        outcomes = [int((cell.outcomes == name).sum()) for name in ("ok", "error", "crashed")]
        done = len(cell.replications)
        rows.append((group.fit, group.protocol, f"{n}", f"{group.planned}", f"{done}", *map(str, outcomes)))
    return Table(
        "Replications",
        ("fit", "protocol", "n", "planned", "run", "with numbers", "errors", "crashed"),
        tuple(rows),
        "A replication whose fit raised an error, or killed its process, stays in the store and is never drawn again.",
    )


def failures_table(group: Group, measure: str) -> Table | None:
    """Why replications have no numbers, and how far the mean could move if they had any."""
    rows = []
    for n, values in group.values(measure).items():
        bounds = " to ".join(number(one) for one in worst_cases(values))
        for reason, count in _grouped(group.failures[n]):
            rows.append((group.fit, group.protocol, f"{n}", reason, f"{count}", bounds))
            bounds = ""
    if not rows:
        return None
    return Table(
        "Failures",
        ("fit", "protocol", "n", "reason", "replications", f"mean {measure}, worst cases"),
        tuple(rows),
        f"Worst cases: all failures of a cell with a {measure} of zero, and all with the largest that was seen there.",
    )


def _grouped(reasons: Counter[str]) -> list[tuple[str, int]]:
    """The commonest reasons, messages that differ in their numbers taken together, and how many others there are."""
    alike: Counter[str] = Counter()
    for reason, count in reasons.items():
        alike[NUMBER.sub("#", reason)[:LONGEST]] += count
    shown = alike.most_common(REASONS)
    rest = alike.total() - sum(count for _, count in shown)
    return [*shown, *([("others", rest)] if rest else [])]


def worst_cases(values: FloatArray) -> tuple[float, float]:
    """The mean if all failures were zero, and if all were the largest value that was seen."""
    seen = values[~np.isnan(values)]
    if not seen.size:
        return np.nan, np.nan
    missing = values.size - seen.size
    total = float(seen.sum())
    return total / values.size, (total + missing * float(seen.max())) / values.size


# --------------------------------------------------------------------------------------- certificates
#: Columns of every end point that certificates tell of.
USED = ("trusted", "n_reached", "n_starts", "n_bounds", "shortfall", "n_warnings")


def certificates_table(group: Group) -> Table:
    """Kinds of end points, starts that agree, and bounds that hold."""
    rows = []
    columns = {name: group.values(name) for name in USED}
    for n in group.sizes:
        ok = group.ok(n)
        total = int(ok.sum())
        own = {name: values[n][ok] for name, values in columns.items()}
        kinds = "; ".join(f"{status.value}: {count}" for status, count in group.statuses(n).most_common())
        agreeing = float(np.mean(own["n_reached"] / own["n_starts"])) if total else np.nan
        rows.append(
            (
                group.fit,
                group.protocol,
                f"{n}",
                kinds or NOTHING,
                share(float(own["trusted"].sum()), total),
                f"{100 * agreeing:.0f}" if total else NOTHING,
                share(float((own["n_bounds"] > 0).sum()), total),
                number(float(own["shortfall"].max(initial=0.0)), 3),
                f"{int((own['n_warnings'] > 0).sum())}",
            )
        )
    return Table(
        "Certificates",
        (
            "fit",
            "protocol",
            "n",
            "end points",
            "trusted %",
            "starts agreeing %",
            "bounds active %",
            "shortfall",
            "warnings",
        ),
        tuple(rows),
        "Trusted: a strict maximum, inside or on the bounds, and no start went higher. Starts agreeing: mean share of "
        "starts that ended at the reported likelihood. Shortfall: the most by which the likelihood lies below that of "
        "what it starts from, another protocol or the truth: above zero where that lies outside the bounds, or where a "
        "spike is on the way. Warnings: replications with any.",
    )


# --------------------------------------------------------------------------------------- performance
def performance_table(group: Group, measure: str) -> Table:
    """Mean, median and spread of one measure, with Monte Carlo standard errors."""
    rows = []
    for n, all_values in group.values(measure).items():
        values = all_values[~np.isnan(all_values)]
        R = values.size
        if not R:
            rows.append((group.fit, group.protocol, f"{n}", "0", *[NOTHING] * 4))
            continue
        error = float(values.std(ddof=1)) / sqrt(R) if R > 1 else np.nan
        quantiles = np.quantile(values, [0.5, 0.1, 0.9])
        rows.append(
            (
                group.fit,
                group.protocol,
                f"{n}",
                f"{R}",
                with_error(float(values.mean()), error),
                *tuple(number(float(q)) for q in quantiles),
            )
        )
    return Table(
        measure,
        ("fit", "protocol", "n", "R", "mean (MCSE)", "median", "10 %", "90 %"),
        tuple(rows),
    )


def accuracy_table(study: Study, group: Group) -> Table | None:
    """Bias, empirical standard error and root mean squared error of each parameter, where the truth has it."""
    rows = []
    truth = study.recorders[group.fit].true_values()
    for name, true in truth.items():
        for n, all_values in group.values(name).items():
            values = all_values[~np.isnan(all_values)]
            if values.size > 1:
                rows.append(
                    (
                        group.fit,
                        group.protocol,
                        name.removeprefix("estimate/"),
                        f"{n}",
                        number(true),
                        *_accuracy(values - true),
                    )
                )
    if not rows:
        return None
    return Table(
        "Accuracy of the parameters",
        ("fit", "protocol", "parameter", "n", "truth", "bias", "empirical SE", "RMSE"),
        tuple(rows),
        "Atoms are laid over the true ones, in the units of the study. Monte Carlo standard errors in parentheses "
        "[Morris, White and Crowther 2019].",
    )


def _accuracy(errors: FloatArray) -> tuple[str, str, str]:
    R = errors.size
    spread = float(errors.std(ddof=1))
    mse = float((errors**2).mean())
    rmse = sqrt(mse)
    mse_error = float((errors**2).std(ddof=1)) / sqrt(R)
    return (
        with_error(float(errors.mean()), spread / sqrt(R)),
        with_error(spread, spread / sqrt(2.0 * (R - 1))),
        with_error(rmse, mse_error / (2.0 * rmse) if rmse > 0 else 0.0),
    )


def gains_table(group: Group) -> Table | None:
    """Gains of log-likelihood over the reference fit."""
    if GAIN not in group.columns:
        return None
    rows = []
    for n, all_values in group.values(GAIN).items():
        values = all_values[~np.isnan(all_values)]
        if values.size:
            quantiles = (number(float(q)) for q in np.quantile(values, [0.1, 0.5, 0.9]))
            rows.append(
                (group.fit, group.protocol, f"{n}", *quantiles, share(float((values < 0.05).sum()), values.size))
            )
    if not rows:
        return None
    return Table(
        "Gain of log-likelihood over the reference fit",
        ("fit", "protocol", "n", "10 %", "median", "90 %", "below 0.05, %"),
        tuple(rows),
        "Below zero, the fit lies below the reference. A fit with more experts that gains next to nothing is "
        "the reference fit with an expert written twice: its slope says nothing about the larger model.",
    )


# --------------------------------------------------------------------------------------- slopes
def slopes_table(found: Sequence[Measurement], title: str, note: str = "") -> Table:
    """Slopes with intervals, predictions and verdicts."""
    rows = []
    for one in found:
        slope, rate = one.slope, one.predicted.rate
        rows.append(
            (
                one.fit,
                one.protocol,
                one.measure,
                NOTHING if slope is None else f"{slope.slope:.3f}",
                NOTHING if slope is None else f"[{slope.interval[0]:.3f}, {slope.interval[1]:.3f}]",
                NOTHING if slope is None else f"{slope.window[0]:g} to {slope.window[1]:g}",
                NOTHING if rate is None else f"{in_words(rate)}{' (bound)' if one.predicted.bound else ''}",
                f"{one.n_missing} of {one.n_rows}",
                number(100 * one.trusted, 3),
                "none" if one.verdict is None else one.verdict.name,
            )
        )
    head = (
        *("fit", "protocol", "measure", "slope", "95 %", "window of n", "predicted"),
        *("without a value", "trusted %", "verdict"),
    )
    return Table(title, head, tuple(rows), note)


def strata_table(group: Group, measure: str, strata: Strata | None) -> Table | None:
    """Shares and slopes of the configurations of cells, where there are several."""
    if strata is None:
        return None
    shares, rows = strata.to_frame(), []
    for label in strata.shares:
        own = strata.slopes.get(label)
        low, high = (np.nan, np.nan) if own is None else own.interval
        said = strata.without.get(label, "") if own is None else f"{own.slope:.3f} [{low:.3f}, {high:.3f}]"
        first, last = (100 * float(shares[label].iloc[i]) for i in (0, -1))
        rows.append((group.fit, group.protocol, label, f"{first:.0f}", f"{last:.0f}", said))
    return Table(
        "Configurations of cells",
        ("fit", "protocol", "configuration", "% at the smallest n", "% at the largest", f"slope of {measure}"),
        tuple(rows),
        "How many fitted atoms the true ones have, most first.",
    )
