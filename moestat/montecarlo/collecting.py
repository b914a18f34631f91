"""What a store holds of a study, gathered by fitted model and protocol: one pass, the largest group in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from moestat.certificate import Status
from moestat.montecarlo.rows import ERROR, OK, Cell
from moestat.montecarlo.slopes import Measured, NoSlopeError
from moestat.montecarlo.store import CellRows, Store
from moestat.montecarlo.study import Study
from moestat.typing import AnyArray, BoolArray, FloatArray

#: Distances are rounded to no less than minus this.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Group:
    """The rows of one fitted model under one protocol.

    Parameters
    ----------
    fit, protocol : str
    cells : mapping of int to CellRows
        By sample size, ascending; those without rows are missing.
    planned : int
        Replications of each size that the study asks for; more that the store has are left out.
    joint : mapping of str to bytes
        One digest for all rows of each cell, by the cell's.
    """

    fit: str
    protocol: str
    cells: Mapping[int, CellRows]
    planned: int
    joint: Mapping[str, bytes]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers."""
        return next(iter(self.cells.values())).cell.columns

    @property
    def sizes(self) -> list[int]:
        """Sample sizes with rows."""
        return list(self.cells)

    def values(self, column: str) -> dict[int, FloatArray]:
        """One column (R,) by sample size; NaN where a replication has no number."""
        at = self.columns.index(column)
        return {n: rows.numbers[:, at] for n, rows in self.cells.items()}

    def measured(self, column: str) -> Measured:
        """The same with its replications, as slopes want it; rounding below zero is zero.

        Raises
        ------
        NoSlopeError
            When the numbers have signs: slopes are of sizes.
        """
        values = {n: np.where((x < 0.0) & (x > -ROUNDING), 0.0, x) for n, x in self.values(column).items()}
        if any((x < 0.0).any() for x in values.values()):
            raise NoSlopeError(f"{column!r} has negative values: only errors, losses and distances have a slope.")
        return Measured(
            np.array(self.sizes, dtype=np.float64),
            tuple(values.values()),
            tuple(rows.replications for rows in self.cells.values()),
        )

    def missing(self, column: str) -> tuple[int, int]:
        """Replications without a value of a column, and all replications."""
        values = self.values(column).values()
        return sum(int(np.isnan(x).sum()) for x in values), sum(x.size for x in values)

    @property
    def n_failed(self) -> int:
        """Replications without numbers."""
        return sum(int((rows.outcomes != OK).sum()) for rows in self.cells.values())

    @cached_property
    def trusted(self) -> float:
        """Share of the ends that are trusted, among those that there are."""
        ends = np.concatenate([x[~np.isnan(x)] for x in self.values("trusted").values()])
        return float(ends.mean()) if ends.size else float("nan")

    def configurations(self) -> dict[int, AnyArray]:
        """How many fitted atoms each true one has, largest first, as text (R,): ``2+1``."""
        places = [i for i, name in enumerate(self.columns) if name.startswith("cell/")]
        return {n: _labels(rows.numbers[:, places]) for n, rows in self.cells.items()}

    @cached_property
    def failures(self) -> dict[int, Counter[str]]:
        """Why replications have no numbers, by sample size: kinds of errors with their messages."""
        return {n: _reasons(rows) for n, rows in self.cells.items()}

    def ok(self, n: int) -> BoolArray:
        """Which replications (R,) of a size have numbers."""
        return np.asarray(self.cells[n].outcomes == OK)

    def statuses(self, n: int) -> Counter[Status]:
        """How many replications of a size ended at which kind of point."""
        counts = Counter(self.cells[n].statuses[self.ok(n)].tolist())
        return Counter({Status[name]: count for name, count in counts.items() if name})


def groups(study: Study, store: Store) -> Iterator[Group]:
    """Every fitted model and protocol of a study with its rows; bytes are checked against their digests."""
    held = {cell.digest for cell in store.cells()}
    for (fit, protocol), cells in _by_group(study).items():
        rows = {cell.n: store.rows(cell) for cell in cells if cell.digest in held}
        joint = {one.cell.digest: one.joint for one in rows.values()}
        planned = {n: _first(one, study.design.replications) for n, one in rows.items()}
        found = {n: one for n, one in planned.items() if len(one.replications)}
        if found:
            yield Group(fit, protocol, found, study.design.replications, joint)


def _first(rows: CellRows, planned: int) -> CellRows:
    """The replications that the study asks for; a store may have more, of an earlier text."""
    if not len(rows.replications) or rows.replications[-1] < planned:
        return rows
    kept = rows.replications < planned
    return replace(
        rows,
        replications=rows.replications[kept],
        outcomes=rows.outcomes[kept],
        statuses=rows.statuses[kept],
        numbers=rows.numbers[kept],
        words=tuple(word for word, keep in zip(rows.words, kept, strict=True) if keep),
        digests=(),
    )


def _by_group(study: Study) -> dict[tuple[str, str], list[Cell]]:
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in study.cells:
        found.setdefault((cell.fit, cell.protocol), []).append(cell)
    return found


def _labels(sizes: FloatArray) -> AnyArray:
    """Text of each row of cell sizes, as often as there are different ones."""
    ordered = -np.sort(-np.nan_to_num(sizes), axis=1)
    different, which = np.unique(ordered, axis=0, return_inverse=True)
    texts = np.array(["+".join(f"{int(size)}" for size in row if size > 0) or "none" for row in different])
    return np.asarray(texts[which.ravel()])


def _reasons(rows: CellRows) -> Counter[str]:
    found: Counter[str] = Counter()
    for i in np.flatnonzero(rows.outcomes != OK):
        told = (json.loads(rows.words[i]) if rows.words[i] else {}).get("error", {})
        kind = told.get("type", str(rows.outcomes[i]))
        message = told.get("message", "")
        found[f"{kind}: {message}" if rows.outcomes[i] == ERROR and message else kind] += 1
    return found
