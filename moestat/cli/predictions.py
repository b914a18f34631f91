"""Predictions of a table's rows, as columns of a new table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from moestat.errors import InputError, MoestatWarning, NotIdentifiedError, warn
from moestat.frames.columns import as_frame, as_numbers, check_present, missing_rows
from moestat.results import Results
from moestat.typing import AnyArray, BoolArray, FloatArray


@dataclass(frozen=True)
class Rows:
    """The complete rows of a table, as a model reads them, and where they stand in it.

    Parameters
    ----------
    results : Results
    table : DataFrame
        The rows without missing entries.
    terms : mapping
        Columns of the offset and of the exposures, where they were named.
    complete : ndarray of bool
        Which rows of the whole table they are.
    """

    results: Results
    table: pd.DataFrame
    terms: Mapping[str, str]
    complete: BoolArray

    @staticmethod
    def of(results: Results, table: pd.DataFrame, terms: Mapping[str, str], *, scored: bool, blank: bool) -> Rows:
        """The rows of a table, with the response if ``scored``; incomplete ones are refused unless ``blank``."""
        table = as_frame("DATA", table)
        _warn_of_missing_terms(results, terms)
        needed = _needed(results, terms, scored)
        check_present("DATA", table, needed)
        gaps, words = (
            missing_rows({name: table[name] for name in needed}) if needed else (np.zeros(len(table), bool), "")
        )
        if words and not blank:
            raise InputError(f"DATA: {words}. Fill them, or pass --missing blank to leave their predictions empty.")
        if gaps.all():
            raise InputError(f"DATA: {words}: there is nothing to predict.")
        if words:
            warn(f"{words}; their predictions are empty.", MoestatWarning)
        return Rows(results, table[~gaps].reset_index(drop=True), terms, ~gaps)

    @property
    def covariates(self) -> tuple[Any, Any]:
        """X and Z of the rows; a formula makes them of the table itself."""
        if self.results.design is not None:
            return self.table, None
        schema = self.results.schema
        X = self.table[list(schema.features)]
        return X, None if schema.gate_features == schema.features else self.table[list(schema.gate_features)]

    @property
    def known(self) -> dict[str, FloatArray]:
        """Offset and exposures, where their columns were named; else a formula reads those of the fit."""
        return {term: as_numbers(column, self.table[column]) for term, column in self.terms.items()}

    @property
    def scored(self) -> tuple[Any, Any, Any]:
        """X, y and Z."""
        X, Z = self.covariates
        if self.results.design is not None:
            return X, None, Z
        names, classes = list(self.results.schema.responses), self.results.schema.classes
        return X, self.table[names[0] if len(names) == 1 or classes is not None else names], Z

    def aligned(self, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """Columns side by side, one row for every row of the whole table; incomplete ones are empty."""
        joined = pd.concat(parts, axis="columns")
        return joined.set_axis(np.flatnonzero(self.complete), axis="index").reindex(range(self.complete.size))


def _needed(results: Results, terms: Mapping[str, str], scored: bool) -> list[str]:
    schema, named = results.schema, terms.values()
    if results.design is not None:
        return list(dict.fromkeys([*results.design.needed(scored=scored, given=terms), *named]))
    responses = schema.responses if scored else ()
    return list(dict.fromkeys([*schema.features, *schema.gate_features, *responses, *named]))


def _warn_of_missing_terms(results: Results, terms: Mapping[str, str]) -> None:
    """A fit of arrays remembers that its rows had an offset or exposures, but no column of them."""
    read = {*terms, *(() if results.design is None else results.design.known)}
    for term, neutral in (("offset", 0), ("exposure", 1)):
        if term in results.known and term not in read:
            warn(
                f"The rows of the fit had {term}s; predictions are for an {term} of {neutral}. "
                f"Name the column that holds them: --{term} COLUMN.",
                MoestatWarning,
            )


def text_columns(results: Results) -> list[str]:
    """Columns whose categories were text in the fit: in a short file they may look like numbers."""
    classes, design = results.schema.classes, results.design
    levels = {} if design is None else design.levels
    known = {name: found for name, found in levels.items() if found}
    if classes is not None:
        known[results.schema.responses[0]] = tuple(classes)
    return [name for name, found in known.items() if all(isinstance(level, str) for level in found)]


# --------------------------------------------------------------------------------------- columns
def kept(rows: Rows, names: Sequence[str] | None) -> pd.DataFrame:
    """Columns of the table itself; ``all`` stands for all."""
    asked = list(dict.fromkeys(names or ()))
    if asked == ["all"]:
        return rows.table
    check_present("DATA", rows.table, asked)
    return rows.table[asked]


def beside(own: pd.DataFrame, made: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Columns of the table before the predictions, unless they have the same names."""
    names = [str(name) for part in made for name in part.columns]
    twice = [name for name in own.columns if name in names]
    if twice:
        raise InputError(
            f"DATA's own column {twice[0]!r} would stand beside the prediction {twice[0]!r}. Rename it, or name the "
            "columns to keep one by one."
        )
    return [own, *made]


def predicted(rows: Rows, alpha: float, kind: str) -> pd.DataFrame:
    """Means with standard errors and limits, or means alone where the data do not determine the parameters."""
    X, Z = rows.covariates
    try:
        frame = rows.results.get_prediction(X, Z, **rows.known, kind=kind).summary_frame(alpha)
    except NotIdentifiedError as error:
        warn(f"No standard errors: {error}", MoestatWarning)
        frame = _means(rows.results.predict(X, Z, **rows.known), _labels(rows.results))
    if frame.columns.nlevels == 1:
        return frame
    levels = (frame.columns.get_level_values(i) for i in (0, 1))
    names = [f"{name}[{label}]" for name, label in zip(*levels, strict=True)]
    named = frame.set_axis(names, axis="columns")
    classes = rows.results.schema.classes
    if classes is None:
        return named
    best = np.asarray(classes, dtype=object)[frame["mean"].to_numpy().argmax(axis=1)]
    return pd.concat([pd.DataFrame({"class": best}), named], axis="columns")


def _means(values: FloatArray, labels: tuple[Any, ...]) -> pd.DataFrame:
    if values.ndim == 1:
        return pd.DataFrame({"mean": values})
    return pd.concat({"mean": pd.DataFrame(values, columns=list(labels))}, axis="columns")


def _labels(results: Results) -> tuple[Any, ...]:
    """What the means of one row are of: classes, or several responses."""
    return results.schema.responses if results.schema.classes is None else results.schema.classes


def gate_weights(rows: Rows) -> pd.DataFrame:
    """Weights of the gate, one column per expert."""
    return _by_expert("gate", rows.results.gate_weights(*rows.covariates))


def expert_means(rows: Rows) -> pd.DataFrame:
    """Mean of every expert, of every response; its class probabilities."""
    means = rows.results.expert_means(*rows.covariates, **rows.known)
    if means.ndim == 2:
        return _by_expert("expert", means).add_suffix(".mean")
    labels = _labels(rows.results)
    experts = range(1, means.shape[1] + 1)
    names = [f"expert[{k}].mean[{label}]" for k in experts for label in labels]
    return pd.DataFrame(means.reshape(len(means), -1), columns=names)


def responsibilities(rows: Rows) -> pd.DataFrame:
    """Probability of every expert given covariates and response."""
    return _by_expert("responsibility", rows.results.responsibilities(*rows.scored, **rows.known))


def log_density(rows: Rows) -> pd.DataFrame:
    """log p(y | x) in nats."""
    return pd.DataFrame({"log_density": rows.results.log_density(*rows.scored, **rows.known)})


def _by_expert(name: str, values: AnyArray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"{name}[{k}]" for k in range(1, values.shape[1] + 1)])


#: Columns that are added on request, by the name of the option.
ADDED: dict[str, Callable[[Rows], pd.DataFrame]] = {
    "gate": gate_weights,
    "experts": expert_means,
    "responsibilities": responsibilities,
    "density": log_density,
}
