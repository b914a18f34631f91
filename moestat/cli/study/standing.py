"""What a store holds of its study, counted without reading a row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moestat.certificate import Status
from moestat.cli.study.places import Place, made_in_python, shard_of
from moestat.montecarlo import Store
from moestat.montecarlo.rows import CRASHED, ERROR, OK
from moestat.montecarlo.store.files import BESIDE, beside

if TYPE_CHECKING:
    from moestat.montecarlo import Study
    from moestat.montecarlo.rows import Cell


@dataclass(frozen=True)
class Count:
    """Rows of a cell, or of several.

    Parameters
    ----------
    done : int
    planned : int or None
        None where the study does not say: it was made in Python, or does not have the cell any more.
    ok, error, crashed : int
        How the rows came out.
    trusted : int
        Those that ended at a maximum of the kind that theory speaks of.
    """

    done: int
    planned: int | None
    ok: int
    error: int
    crashed: int
    trusted: int

    @staticmethod
    def of(counts: Mapping[tuple[str, str], int], planned: int | None) -> Count:
        """Of the numbers of rows by outcome and status."""
        by: Counter[str] = Counter()
        for (outcome, _), n in counts.items():
            by[outcome] += n
        trusted = sum(n for (outcome, status), n in counts.items() if outcome == OK and _is_trusted(status))
        return Count(sum(counts.values()), planned, by[OK], by[ERROR], by[CRASHED], trusted)

    @staticmethod
    def total(counts: Iterable[Count]) -> Count:
        """Of several together; planned counts where it is known."""
        found = list(counts)
        plans = [one.planned for one in found if one.planned is not None]
        return Count(
            sum(one.done for one in found),
            sum(plans) if plans else None,
            *(sum(getattr(one, name) for one in found) for name in ("ok", "error", "crashed", "trusted")),
        )

    @property
    def missing(self) -> int:
        """Rows that are planned and not there."""
        return max(0, (self.planned or 0) - self.done)


@dataclass(frozen=True)
class Standing:
    """How a study stands.

    Parameters
    ----------
    name : str
        Of the study.
    store : Path
    cells : sequence of (Cell, Count)
    unknown : frozenset of Cell
        Cells of the store that the study does not have.
    versions : mapping of str to int
        Rows by what they were computed with.
    written : float
        When the store was last written to, in seconds since 1970.
    digest : str
        Of the results; empty where nobody asked.
    """

    name: str
    store: Path
    cells: Sequence[tuple[Cell, Count]]
    unknown: frozenset[Cell]
    versions: Mapping[str, int]
    written: float
    digest: str = ""

    @property
    def total(self) -> Count:
        """Of all cells."""
        return Count.total(count for _, count in self.cells)

    @property
    def missing(self) -> int | None:
        """Rows that are planned and not there; None where the study does not say what is planned."""
        return None if self.total.planned is None else sum(count.missing for _, count in self.cells)

    @property
    def left(self) -> str:
        """How many rows are missing, in words."""
        if self.missing is None:
            return "What is planned is known to the Python script that made the study."
        return f"{self.missing:,} rows are missing." if self.missing else "Nothing is missing."


def standing(place: Place, digest: bool = False) -> Standing:
    """How the study of a place stands; a writer may be at work meanwhile."""
    with Store.open(place.store, read_only=True) as store:
        text, known, counts, versions = store.study, store.cells(), store.counts(), store.versions()
        found = store.results_digest() if digest else ""
    study = None if place.file is None and (made_in_python(text) or not text) else place.study()
    name = study.name if study is not None else json.loads(text)["study"] if text else "(lost)"
    own = known if study is None else study.cells
    planned = None if study is None else _planned(study, place.store)
    others = [cell for cell in known if cell not in set(own)]
    rows = [(cell, Count.of(counts.get(cell.digest, {}), planned)) for cell in own]
    rows += [(cell, Count.of(counts[cell.digest], None)) for cell in others]
    return Standing(name, place.store, rows, frozenset(others), versions, _written(place.store), found)


def count_of(path: Path) -> Count:
    """All rows of a store."""
    with Store.open(path, read_only=True) as store:
        return Count.total(Count.of(counts, None) for counts in store.counts().values())


def _planned(study: Study, store: Path) -> int:
    """Replications of a cell; of a shard's store, its share of them."""
    shard = shard_of(store)
    if shard is None:
        return study.design.replications
    return len(range(shard.index - 1, study.design.replications, shard.count))


def _is_trusted(status: str) -> bool:
    return status in Status.__members__ and Status[status].trusted


def _written(store: Path) -> float:
    times = []
    for file in (store, *(beside(store, ending) for ending in BESIDE[:2])):
        with suppress(FileNotFoundError):  # those beside come and go with writers
            times.append(file.stat().st_mtime)
    return max(times)


def as_document(found: Standing) -> dict[str, Any]:
    """A standing as plain data."""
    return {
        "study": found.name,
        "store": str(found.store),
        "written": found.written,
        "missing": found.missing,
        "digest": found.digest or None,
        "versions": [json.loads(text) | {"rows": n} for text, n in found.versions.items()],
        "cells": [
            {"fit": cell.fit, "protocol": cell.protocol, "n": cell.n, "in_study": cell not in found.unknown}
            | vars(count)
            for cell, count in found.cells
        ],
    }
