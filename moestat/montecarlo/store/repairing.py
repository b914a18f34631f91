"""Saving what is good of a damaged store: the next run computes the rest again."""

from __future__ import annotations

import mmap
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from moestat.errors import DamagedStoreError, InputError
from moestat.montecarlo.rows import Cell, Finished, Row
from moestat.montecarlo.store import reading, schema
from moestat.montecarlo.store.catalogue import CELL, VERSIONS, canonical, cell_of
from moestat.montecarlo.store.checking import LIMIT, Report, verify
from moestat.montecarlo.store.connection import FormatError, connect, guarded
from moestat.montecarlo.store.digests import RawRow, row_digests
from moestat.montecarlo.store.files import BESIDE, beside, settle, sync_folder, unfinished
from moestat.montecarlo.store.journal import Store, fill
from moestat.montecarlo.store.locking import WriterLock
from moestat.montecarlo.store.records import BrokenSealError, Entry, Record, Text, Timing, unsealed
from moestat.montecarlo.store.salvage import Pages
from moestat.typing import BoolArray

#: Versions of rows whose batch is damaged.
UNKNOWN = canonical({"unknown": "the record of the batch was damaged"})

#: Rows without a batch are given new ones of this size.
LOT = 1000


@dataclass(frozen=True)
class Repair:
    """What `repair` did.

    Parameters
    ----------
    before : Report
        What was damaged.
    backup : Path or None
        The damaged file; None where nothing was damaged and nothing done.
    kept : int
        Rows that are in the store now.
    lost : tuple of (str, int)
        Name of the cell and replication of each row that is not, as far as they can be told.
    unknown : int
        Rows that were kept, but not the record of their versions.
    """

    before: Report | None
    backup: Path | None
    kept: int
    lost: tuple[tuple[str, int], ...]
    unknown: int

    def __str__(self) -> str:
        if self.backup is None:
            return f"{self.before}\nNothing to repair."
        names = [f"{label}, replication {replication}" for label, replication in self.lost[:LIMIT]]
        names += [f"and {len(self.lost) - LIMIT} more"] if len(self.lost) > LIMIT else []
        return "\n".join(
            [
                f"{self.kept} rows were kept, {len(self.lost)} known ones lost: the next run computes them again.",
                *(f"  {name}" for name in names),
                *([f"Of {self.unknown} rows the versions are not known any more."] if self.unknown else []),
                f"The damaged file is {str(self.backup)!r}.",
            ]
        )


def repair(path: str | Path) -> Repair:
    """Make a store of everything in a damaged one that still bears its digest, and keep the damaged one.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Repair

    Raises
    ------
    InputError
        When there is no file, or nothing of a store is in it.
    StoreError
        When another is writing, or the disk refuses.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"path: there is no store {str(source)!r}.")
    with guarded(source):
        lock = WriterLock(source)
        try:
            before = _looked_at(source)
            if before is not None and before.clean:
                return Repair(before, None, before.rows, (), 0)
            return _rebuilt(source, before)
        finally:
            lock.release()


def _looked_at(source: Path) -> Report | None:
    """What is damaged; None where that can be the bytes that say what the file is."""
    try:
        return verify(source)
    except InputError as error:
        if isinstance(error, FormatError) and not error.damaged:
            raise
        return None


def _rebuilt(source: Path, before: Report | None) -> Repair:
    fresh = unfinished(source)
    try:
        with _pages(source) as pages:
            found = _Salvaged(pages)
            if not found.cells:
                raise InputError(f"{str(source)!r}: nothing in it is of a store, so there is nothing to save.")
            fill(fresh, found.texts())
            with Store.open(fresh) as store, store.all_or_nothing():
                for finished, ended in found.batches():
                    store.append(finished, ended=ended)
        after = verify(fresh)
        if not after.clean:
            raise DamagedStoreError(f"The repaired store is not in order, so {str(source)!r} was left alone: {after}")
        backup = _kept_aside(source)
        settle(fresh, source)
    finally:
        fresh.unlink(missing_ok=True)
    return Repair(before, backup, after.rows, found.lost(), found.unknown)


def _kept_aside(source: Path) -> Path:
    """Copy a store and the files beside it, and remove these: they are not of the store that is coming."""
    number = 1
    while (backup := beside(source, f".damaged-{number}")).exists():
        number += 1
    for ending in ("", *BESIDE):
        if (old := beside(source, ending)).exists():
            shutil.copy2(old, beside(backup, ending))
    sync_folder(backup)
    for ending in BESIDE:
        beside(source, ending).unlink(missing_ok=True)
    return backup


@contextmanager
def _pages(source: Path) -> Iterator[Pages]:
    """Pages of a copy, into which what was pending is folded as far as SQLite can still do that."""
    with TemporaryDirectory(prefix=f".{source.name}.", dir=source.absolute().parent) as folder:
        copy = Path(folder) / "copy"
        for ending in ("", *BESIDE[:2]):
            if (old := beside(source, ending)).exists():
                shutil.copy2(old, beside(copy, ending))
        if any(beside(copy, ending).exists() for ending in BESIDE[:2]):
            with suppress(sqlite3.Error), closing(connect(copy, "mode=rw")) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with copy.open("rb") as file:
            if not copy.stat().st_size:
                yield Pages(b"")
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield Pages(data)


def _filed(kind: type[Record], values: Sequence[Any], known: dict[int, Record]) -> bool:
    """Whether values are a record of a kind that bears its digest; it is filed under its number then."""
    with suppress(BrokenSealError):
        record = unsealed(kind, values)
        known[record.id] = record
        return True
    return False


@dataclass
class _Salvaged:
    """What bears its digest among the records of a file."""

    pages: Pages
    found: dict[int, Text] = field(default_factory=dict)
    cells: dict[int, Cell] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    took: dict[int, Timing] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)  # where the row of a number lies
    unknown: int = 0

    def __post_init__(self) -> None:
        candidates = [self._known(place) for place in self.pages.places()]
        self.cells = {text.id: cell_of(text.body) for text in self.found.values() if text.kind == CELL}
        for place in filter(None, candidates):
            raw = self._raw(place)
            if raw is not None:
                self.rows.setdefault(raw[0], place)

    def _known(self, place: int) -> int:
        """File a record under what it is; returns the place of one that may be a row, and otherwise 0."""
        values = self.pages.record(place)
        if values is None:
            return 0
        known = _filed(Text, values, self.found) or _filed(Entry, values, self.entries)
        known = known or _filed(Timing, values, self.took)
        return 0 if known or len(values) != 6 else place

    def _raw(self, place: int) -> RawRow | None:
        values = self.pages.record(place)
        if values is None or len(values) != 6 or not all(isinstance(value, bytes) for value in values[1:]):
            return None
        cell = self.cells.get(values[0] >> schema.REPLICATION_BITS)
        if cell is None:
            return None
        raw: RawRow = (values[0], values[1], values[2], values[3], values[4], values[5])
        fits = len(raw[3]) == 8 * len(cell.columns)
        return raw if fits and row_digests(cell.digest, [raw]) == [raw[5]] else None

    def texts(self) -> list[tuple[str, str]]:
        """Texts in their order; those of versions come with the batches."""
        return [(text.kind, text.body) for _, text in sorted(self.found.items()) if text.kind != VERSIONS]

    def batches(self) -> Iterator[tuple[Finished, float]]:
        """The rows that are good, in the batches that brought them, then those whose batch is damaged."""
        left = set(self.rows)
        for number, entry in sorted(self.entries.items()):
            keys = reading.keys_of(entry)
            there = np.array([key in left for key in keys.tolist()], dtype=bool)
            left.difference_update(keys.tolist())
            if there.any():
                yield self._batch(number, entry, keys[there].tolist(), there)
        orphans = sorted(left)
        self.unknown += len(orphans)
        for start in range(0, len(orphans), LOT):
            lot = orphans[start : start + LOT]
            yield Finished(self._rows(lot), np.full(len(lot), np.nan), "", UNKNOWN), 0.0

    def _batch(self, number: int, entry: Entry, keys: Sequence[int], there: BoolArray) -> tuple[Finished, float]:
        took = self.took.get(number)
        seconds = np.full(len(keys), np.nan)
        if took is not None:
            seconds = np.frombuffer(took.seconds, dtype="<f8").astype(float)[there]
        text = self.found.get(entry.versions)
        self.unknown += 0 if text else len(keys)
        finished = Finished(self._rows(keys), seconds, took.host if took else "", text.body if text else UNKNOWN)
        return finished, took.finished if took else 0.0

    def _rows(self, keys: Iterable[int]) -> tuple[Row, ...]:
        found = []
        for key in keys:
            raw = self._raw(self.rows[key])
            assert raw is not None
            found.append(reading.row_of(self.cells[key >> schema.REPLICATION_BITS], raw))
        return tuple(found)

    def lost(self) -> tuple[tuple[str, int], ...]:
        """Rows that a batch brought and that are not good."""
        keys = {key for entry in self.entries.values() for key in reading.keys_of(entry).tolist()}
        gone = sorted(key for key in keys if key not in self.rows)
        return tuple((self._label(key >> schema.REPLICATION_BITS), key & schema.MASK) for key in gone)

    def _label(self, number: int) -> str:
        cell = self.cells.get(number)
        return cell.label if cell else f"number {number}, whose text is lost"
