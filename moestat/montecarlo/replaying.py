"""Run one replication of one cell again, and set it beside what the store has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.reading import whole
from moestat.montecarlo.replication import Replications, sample
from moestat.montecarlo.rows import Batch, Cell, Row
from moestat.montecarlo.store import Store
from moestat.montecarlo.study import Study
from moestat.spelling import suggestion
from moestat.typing import FloatArray


@dataclass(frozen=True, eq=False)
class Replay:
    """A replication that was run again; ``print`` it.

    Parameters
    ----------
    cell : Cell
    row : Row
        As it is now.
    stored : Row or None
        As the store has it.
    X, y : ndarray
        The data.
    parameters : str
        Where the fit ended, in words.
    """

    cell: Cell
    row: Row
    stored: Row | None
    X: FloatArray
    y: FloatArray
    parameters: str

    @property
    def identical(self) -> bool | None:
        """Whether both rows agree to the last bit; None where the store has none."""
        return None if self.stored is None else self.row.digest == self.stored.digest

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def replay(study: Study, label: str, replication: int, store: str | Path | None = None) -> Replay:
    """Run one replication of one cell.

    Parameters
    ----------
    study : Study
    label : str
        The cell, as ``"K2/mle/n=1000"``.
    replication : int
        Counted from 0.
    store : str or Path, optional
        Where to look for the row that was found before.

    Raises
    ------
    InputError
        When the study has no such cell or replication.
    """
    cell = cell_named(study, label)
    replication = whole(replication, "replication", 0, study.design.replications - 1)
    again = Replications(study, Batch(cell.n, (replication,), (cell.digest,)))
    (row,), _ = again.rows(cell)
    X, y = sample(study, cell.n, replication)
    return Replay(cell, row, _stored(store, cell, replication), X, y, again.parameters(cell))


def cell_named(study: Study, label: str) -> Cell:
    """A cell of a study by its label."""
    for cell in study.cells:
        if cell.label == label:
            return cell
    labels = [cell.label for cell in study.cells]
    raise InputError(
        f"cell must be FIT/PROTOCOL/n=N with the names of the study, as {labels[0]!r}; got {label!r}."
        f"{suggestion(label, labels)}"
    )


def _stored(path: str | Path | None, cell: Cell, replication: int) -> Row | None:
    if path is None:
        return None
    with Store.open(path, read_only=True) as store:
        if cell.digest not in [known.digest for known in store.cells()]:
            return None
        rows = store.rows(cell)
    found = np.flatnonzero(rows.replications == replication)
    if not found.size:
        return None
    i = int(found[0])
    return Row(cell.digest, replication, str(rows.outcomes[i]), str(rows.statuses[i]), rows.numbers[i], rows.words[i])


def _lines(found: Replay) -> list[str]:
    row, stored = found.row, found.stored
    lines = [f"{found.cell.label}, replication {row.replication}: {row.outcome} {row.status}".rstrip()]
    if stored is None:
        lines.append("The store has no such row.")
    elif found.identical:
        lines.append("The store has the same row, to the last bit.")
    else:
        lines.append(f"The store has another row: {stored.outcome} {stored.status}".rstrip())
    for words in (json.loads(row.words) if row.words else {}).items():
        lines.append(f"{words[0]}: {_said(words[1])}")
    if found.parameters:
        lines += ["", found.parameters]
    lines.append("")
    width = max(map(len, found.cell.columns))
    for i, name in enumerate(found.cell.columns):
        beside = ""
        if stored is not None and not _same(stored.numbers[i], row.numbers[i]):
            beside = f"   stored: {stored.numbers[i]:.12g}"
        lines.append(f"  {name:{width}}  {row.numbers[i]:.12g}{beside}")
    return lines


def _same(first: float, second: float) -> bool:
    return bool(first == second or (np.isnan(first) and np.isnan(second)))


def _said(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {entry}" for name, entry in value.items() if entry)
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
