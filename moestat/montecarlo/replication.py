"""One batch of replications: draw the data, fit them under every protocol that is wanted, write the rows.

This is what workers do. A batch needs the study and its own numbers and nothing else, and its rows do not depend on
what shares it: protocols and data have streams of their own.
"""

from __future__ import annotations

import json
import re
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from moestat.montecarlo import seeds
from moestat.montecarlo.design import NESTED
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.platform import host, versions
from moestat.montecarlo.protocols import End, Protocol, Task
from moestat.montecarlo.protocols.base import TRUTH
from moestat.montecarlo.recording import GAIN
from moestat.montecarlo.rows import CRASHED, ERROR, OK, Batch, Cell, Finished, Row
from moestat.montecarlo.study import Study
from moestat.typing import FloatArray

#: Rows of a nested sample that share a stream, so that a smaller sample is the beginning of a larger one.
BLOCK = 1024

#: Text of an error in a row is cut beyond this, and warnings beyond so many kinds.
LONGEST, MOST_KINDS = 500, 10


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a protocol on one data set: an end, or an error; and what was said meanwhile."""

    end: End | None
    error: dict[str, str] | None
    warned: tuple[str, ...]
    seconds: float


def sample(study: Study, n: int, replication: int) -> tuple[FloatArray, FloatArray]:
    """The data of a replication: X (n, d), and y of n rows.

    They hang on the study's seed, the truth, the law of the covariates, n (unless samples are nested) and the number
    of the replication, and on nothing else.
    """
    purpose = ("data", study.sample_digest(n), replication)
    if study.design.samples != NESTED:
        return _drawn(study, n, seeds.stream(study.seed, *purpose))
    blocks = [
        _drawn(study, BLOCK, seeds.stream(study.seed, *purpose, number)) for number in range((n + BLOCK - 1) // BLOCK)
    ]
    return np.concatenate([X for X, _ in blocks])[:n], np.concatenate([y for _, y in blocks])[:n]


def _drawn(study: Study, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    X = study.covariates.draw(rng, n, study.truth.n_features)
    return X, study.truth.draw(X, rng)


class Replications:
    """The replications of one batch; every end is computed once, whoever asks for it."""

    def __init__(self, study: Study, batch: Batch) -> None:
        self._study, self._batch = study, batch
        self._known: dict[tuple[str, str], list[Outcome]] = {}

    @cached_property
    def _samples(self) -> list[tuple[FloatArray, FloatArray]]:
        return [sample(self._study, self._batch.n, r) for r in self._batch.replications]

    def rows(self, cell: Cell) -> tuple[list[Row], list[float]]:
        """A row for each replication of a cell, and the seconds that each took."""
        fitted, protocol = self._study.fit(cell.fit), self._study.protocol(cell.protocol)
        outcomes = self._outcomes(fitted, protocol)
        rows, seconds = [], []
        for i, (replication, outcome) in enumerate(zip(self._batch.replications, outcomes, strict=True)):
            start = perf_counter()
            rows.append(self._row(cell, fitted, protocol, replication, i, outcome))
            seconds.append(outcome.seconds + perf_counter() - start)
        return rows, seconds

    def parameters(self, cell: Cell) -> str:
        """Where the first replication of a cell ended, one parameter a line; empty where it did not."""
        fitted = self._study.fit(cell.fit)
        end = self._outcomes(fitted, self._study.protocol(cell.protocol))[0].end
        if end is None:
            return ""
        schema = self._study.truth.schema
        layout, names = fitted.model.layout(schema), fitted.model.names(schema)
        natural = layout.natural(layout.pack(end.params))
        width = max(map(len, names))
        return "\n".join(f"  {name:{width}}  {value:.8g}" for name, value in zip(names, natural, strict=True))

    # ------------------------------------------------------------------------------- ends
    def _outcomes(self, fitted: FittedModel, protocol: Protocol) -> list[Outcome]:
        key = fitted.name, protocol.name
        if key not in self._known:
            tasks = [self._task(fitted, protocol, i) for i in range(len(self._samples))]
            self._known[key] = _run_all(protocol, tasks)
        return self._known[key]

    def _task(self, fitted: FittedModel, protocol: Protocol, i: int) -> Task:
        study, batch = self._study, self._batch
        X, y = self._samples[i]
        ends = self._others(fitted, protocol, i)
        purpose = ("fit", study.sample_digest(batch.n), batch.n, batch.replications[i], fitted.digest, protocol.digest)
        return Task(fitted, study.truth, study.truth.schema, X, y, ends, study.seed, purpose)

    def _others(self, fitted: FittedModel, protocol: Protocol, i: int) -> dict[str, End]:
        """Where the protocols ended that this one starts from; those that failed are missing."""
        names = [name for name in protocol.polish_from if name != TRUTH]
        ends = {name: self._outcomes(fitted, self._study.protocol(name))[i].end for name in names}
        return {name: end for name, end in ends.items() if end is not None}

    # ------------------------------------------------------------------------------- rows
    def _row(
        self, cell: Cell, fitted: FittedModel, protocol: Protocol, replication: int, i: int, outcome: Outcome
    ) -> Row:
        if outcome.end is None:
            return _without_numbers(cell, replication, ERROR, _words(outcome))
        try:
            beside = self._beside(fitted, protocol, i, outcome)
            numbers = self._study.recorders[fitted.name].of(outcome.end, beside)
        except Exception as error:
            failed = replace(outcome, error=_told(error))
            return _without_numbers(cell, replication, ERROR, _words(failed), outcome.end.status.name)
        return Row(cell.digest, replication, OK, outcome.end.status.name, numbers, _words(outcome))

    def _beside(self, fitted: FittedModel, protocol: Protocol, i: int, outcome: Outcome) -> dict[str, float]:
        """Numbers that an end does not know itself."""
        assert outcome.end is not None
        loglik = outcome.end.loglik
        found = {"n_warnings": float(len(outcome.warned))}
        if (reference := self._study.reference) is not None:
            end = self._outcomes(reference[0], reference[1] or protocol)[i].end
            found[GAIN] = np.nan if end is None else loglik - end.loglik
        return found


def _run_all(protocol: Protocol, tasks: Sequence[Task]) -> list[Outcome]:
    """All at once; one by one where something was raised or said, so that it belongs to one data set."""
    start = perf_counter()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ends = protocol.fit_many(tasks)
        if not said and len(ends) == len(tasks) and all(isinstance(end, End) for end in ends):
            seconds = (perf_counter() - start) / len(tasks)
            return [Outcome(end, None, (), seconds) for end in ends]
    except Exception:
        pass
    return [_run_one(protocol, task) for task in tasks]


def _run_one(protocol: Protocol, task: Task) -> Outcome:
    start = perf_counter()
    end, error = None, None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            end = _checked(protocol.fit(task))
        except Exception as raised:
            error = _told(raised)
    warned = tuple(dict.fromkeys(f"{w.category.__name__}: {_lasting(str(w.message))}" for w in said))
    return Outcome(end, error, warned[:MOST_KINDS], perf_counter() - start)


def _checked(end: Any) -> End:
    """What a protocol of a user's own gives back may be no end."""
    if not isinstance(end, End):
        raise TypeError(f"a protocol gives back an End; got {type(end).__name__}")
    return end


def _told(error: Exception) -> dict[str, str]:
    """An error as words: its kind, what it says, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return {"type": type(error).__name__, "message": _lasting(str(error)), "where": where}


def _lasting(text: str) -> str:
    """What is said, cut to a length, without addresses in memory: these are others in every process."""
    return re.sub(r"\b0x[0-9a-fA-F]{6,16}\b", "0x...", text)[:LONGEST]


def _words(outcome: Outcome) -> str:
    found: dict[str, object] = {}
    if outcome.error is not None:
        found["error"] = outcome.error
    if outcome.warned:
        found["warnings"] = list(outcome.warned)
    if outcome.end is not None and outcome.end.notes:
        found["notes"] = list(outcome.end.notes)
    return json.dumps(found, sort_keys=True, ensure_ascii=False) if found else ""


def _without_numbers(cell: Cell, replication: int, outcome: str, words: str, status: str = "") -> Row:
    return Row(cell.digest, replication, outcome, status, np.full(len(cell.columns), np.nan), words)


# --------------------------------------------------------------------------------------- work
@dataclass(frozen=True, eq=False)
class Work:
    """What a worker does with a batch of a study; the study travels along."""

    study: Study

    @cached_property
    def _cells(self) -> dict[str, Cell]:
        return {cell.digest: cell for cell in self.study.cells}

    def __call__(self, batch: Batch) -> Finished:
        """The rows of a batch."""
        replications = Replications(self.study, batch)
        rows: list[Row] = []
        seconds: list[float] = []
        for digest in batch.cells:
            more, took = replications.rows(self._cells[digest])
            rows, seconds = rows + more, seconds + took
        return Finished(tuple(rows), np.array(seconds), host(), versions())

    def crashed(self, batch: Batch, reason: str) -> Finished:
        """What is written of replications that killed their process."""
        words = json.dumps({"error": {"type": "crashed", "message": reason[:LONGEST], "where": ""}}, sort_keys=True)
        rows = [
            _without_numbers(self._cells[digest], replication, CRASHED, words)
            for digest in batch.cells
            for replication in batch.replications
        ]
        return Finished(tuple(rows), np.full(len(rows), np.nan), host(), versions())
