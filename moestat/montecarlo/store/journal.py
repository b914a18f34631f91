"""A store: the one file that holds everything a study has measured."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import InputError, StoreError
from moestat.montecarlo.rows import Cell, Finished, Row
from moestat.montecarlo.store import reading, schema, writing
from moestat.montecarlo.store.catalogue import CELL, STUDY, Catalogue, Study, cell_body, in_order, study_body
from moestat.montecarlo.store.connection import (
    Journal,
    connect,
    connected,
    fold,
    gather,
    guarded,
    prepare_to_write,
    transaction,
)
from moestat.montecarlo.store.differences import refuse_changes, refuse_namesakes
from moestat.montecarlo.store.files import BESIDE, beside, settle, unfinished
from moestat.montecarlo.store.locking import WriterLock
from moestat.montecarlo.store.reading import CellRows
from moestat.montecarlo.store.records import BrokenSealError, Head
from moestat.montecarlo.store.results import ResultsDigest
from moestat.typing import IntArray

if TYPE_CHECKING:
    import pandas as pd


#: How often what is written ahead is gathered into the one file: the file alone then lacks no more than so many seconds
#: of a run that is killed.
FOLD_SECONDS = 1.0


class Store:
    """Results of a study in one SQLite file.

    Whatever `append` has returned from is on the disk, and survives the end of the process, of the machine's power, and
    of the disk's space. A reader finds every damaged byte that it meets: an error is raised, and no wrong number
    returned. Make one by `create`, `open` or `open_or_create`; it is a context manager.

    Attributes
    ----------
    path : Path
    read_only : bool
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.path = path
        self.read_only = lock is None
        self._connection = connection
        self._lock = lock
        self._turn = RLock()
        self._texts: Catalogue | None = None
        self._fold_at = 0.0

    @classmethod
    def create(cls, path: str | Path, study: str, cells: Iterable[Cell], *, journal: Journal = "auto") -> Store:
        """A new store of a study, opened for writing.

        Parameters
        ----------
        path : str or Path
        study : str
            The study's text.
        cells : iterable of Cell
        journal : {"auto", "wal", "delete"}
            How SQLite commits. By default it writes ahead (``wal``), or keeps a rollback journal (``delete``) where the
            file system does not bear that. Give ``delete`` on a file system that several machines share.

        Raises
        ------
        InputError
            When there is a file already, or two cells have one name.
        StoreError
            When the folder cannot be written to, or another writer is at work.
        """
        target = Path(path)
        with guarded(target):
            lock = WriterLock(target)
        try:
            if target.exists() and target.stat().st_size:
                raise InputError(f"path: {str(target)!r} exists; open it, or name another file.")
            with guarded(target):
                _make(target, study, tuple(cells))
            return cls._writing(target, lock, journal)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, journal: Journal = "auto") -> Store:
        """A store that exists.

        Parameters
        ----------
        path : str or Path
        read_only : bool
            A reader neither waits for a writer nor stops one.
        journal : {"auto", "wal", "delete"}
            See `create`.

        Raises
        ------
        InputError
            When there is no file, it is no store, or one of another format.
        StoreError
            When it cannot be opened so, or another writer is at work.
        """
        source = Path(path)
        if read_only:
            return cls(source, connected(source, read_only=True), None)
        if not source.exists():
            connected(source, read_only=True)
        with guarded(source):
            lock = WriterLock(source)
        try:
            return cls._writing(source, lock, journal)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open_or_create(cls, path: str | Path, study: str, cells: Iterable[Cell], *, journal: Journal = "auto") -> Store:
        """The store of a study, opened for writing, with these cells registered; made where there is none.

        Raises
        ------
        InputError, StoreError
            As `create`, `open` and `register` do.
        """
        target = Path(path)
        if not target.exists() or (target.is_file() and not target.stat().st_size):
            return cls.create(target, study, cells, journal=journal)
        store = cls.open(target, journal=journal)
        try:
            store.register(study, cells)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def _writing(cls, path: Path, lock: WriterLock, journal: Journal) -> Store:
        connection = connected(path, read_only=False)
        try:
            with guarded(path):
                prepare_to_write(connection, journal)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, lock)

    def close(self) -> None:
        """End it; a writer leaves one file, unless a reader is in the way."""
        with self._turn:
            if self._lock is not None:
                fold(self._connection)
            self._connection.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing ----------------------------------------------------------------------------------------------------------

    def register(self, study: str, cells: Iterable[Cell]) -> None:
        """Make the study's text the current one, and know these cells besides those that are known.

        Parameters
        ----------
        study : str
        cells : iterable of Cell

        Raises
        ------
        InputError
            When a cell is not what the store holds under its name; nothing is written then.
        """
        wanted = tuple(cells)
        with self._transaction(write=True):
            texts = self._catalogue()
            added = _added(texts, study, wanted, f"the store {str(self.path)!r}")
            if added:
                writing.write_texts(self._connection, texts, added)

    def append(self, finished: Finished, *, ended: float | None = None) -> None:
        """Add a batch: all of it is on the disk when this returns, or nothing of it.

        Parameters
        ----------
        finished : Finished
        ended : float, optional
            When it ended, in seconds since 1970; now.

        Raises
        ------
        InputError
            When a row is in the store already, or does not fit its cell.
        StoreError
            When the disk is full or refuses.
        """
        with self._transaction(write=True):
            writing.write_batch(self._connection, self._catalogue(), finished, ended)
        if monotonic() >= self._fold_at:
            with self._turn:
                gather(self._connection)
            self._fold_at = monotonic() + FOLD_SECONDS

    def lacks(self, row: Row) -> bool:
        """Whether there is no row yet of this replication of its cell."""
        with self._transaction():
            cell = self._catalogue().numbers.get(row.cell, 0)
            number = schema.row_number(cell, row.replication)
            return self._connection.execute(schema.THERE, (number,)).fetchone() is None

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Everything that is appended within becomes part of the store together."""
        with self._transaction(write=True):
            yield

    # Reading ----------------------------------------------------------------------------------------------------------

    def cells(self) -> tuple[Cell, ...]:
        """All cells, sorted by fit, protocol and sample size."""
        with self._transaction():
            return in_order(self._catalogue().cells.values())

    def studies(self) -> tuple[Study, ...]:
        """All versions of the study's text, the current one last."""
        with self._transaction():
            return tuple(self._catalogue().studies)

    @property
    def study(self) -> str:
        """The study's current text; empty where it was lost to damage."""
        return "".join(study.text for study in self.studies()[-1:])

    def versions(self) -> dict[str, int]:
        """Number of rows that were computed by each combination of versions."""
        with self._transaction():
            texts = self._catalogue()
            found = dict.fromkeys(texts.versions.values(), 0)
            for entry in reading.entries(self._connection):
                found[texts.versions[entry.versions]] += reading.keys_of(entry).size
            return found

    def counts(self) -> dict[str, dict[tuple[str, str], int]]:
        """Number of rows by outcome and status, for every cell by its digest; no row is read for it."""
        with self._transaction():
            texts = self._catalogue()
            found = {tally.id: reading.counts(tally) for tally in reading.tallies(self._connection)}
            return {cell.digest: found[texts.numbers[cell.digest]] for cell in in_order(texts.cells.values())}

    def missing(self, cells: Iterable[Cell], replications: Sequence[int] | range | IntArray) -> dict[str, IntArray]:
        """Those of the replications that are not in the store, for each of the cells by its digest.

        Parameters
        ----------
        cells : iterable of Cell
            A cell that is not registered misses all.
        replications : sequence of int

        Returns
        -------
        dict of ndarray
            In rising order; empty where nothing is missing.
        """
        wanted = np.unique(np.asarray(replications, dtype=np.int64))
        with self._transaction():
            numbers = self._catalogue().numbers
            keys = reading.keys(self._connection)
        found = {}
        for cell in cells:
            first, last = schema.bounds(numbers.get(cell.digest, 0))
            there = keys[np.searchsorted(keys, first) : np.searchsorted(keys, last, side="right")] & schema.MASK
            found[cell.digest] = np.setdiff1d(wanted, there, assume_unique=True)
        return found

    def rows(self, cell: Cell, *, verify: bool = True) -> CellRows:
        """The rows of a cell, in the order of their replications.

        Parameters
        ----------
        cell : Cell
        verify : bool
            Whether the digest of every row is computed; without it a damaged number is not noticed.

        Raises
        ------
        InputError
            When the store does not have the cell.
        DamagedStoreError
            When a row is not what was written, is missing, or should not be there.
        """
        with self._transaction():
            number = self._catalogue().numbers.get(cell.digest)
            if number is None:
                raise InputError(f"cell: {str(self.path)!r} holds no cell {cell.label} with this text.")
            return reading.cell_rows(self._connection, cell, number, verify)

    def each(self, *, verify: bool = True) -> Iterator[CellRows]:
        """The rows of one cell after another, sorted as `cells` are; memory holds one cell."""
        for cell in self.cells():
            yield self.rows(cell, verify=verify)

    def frame(self, cells: Iterable[Cell] | None = None, *, verify: bool = True) -> pd.DataFrame:
        """Results as a table.

        Parameters
        ----------
        cells : iterable of Cell, optional
            Some cells; all by default.
        verify : bool
            See `rows`.

        Returns
        -------
        DataFrame
            Columns ``fit``, ``protocol``, ``n``, ``replication``, ``outcome``, ``status``, the numbers (NaN where a
            cell does not have a column) and ``words``.
        """
        from moestat.montecarlo.store.exporting import frame

        wanted = None if cells is None else set(cells)
        with self._transaction():
            known = self.cells()
            return frame([self.rows(cell, verify=verify) for cell in known if wanted is None or cell in wanted])

    def timings(self) -> pd.DataFrame:
        """What the rows took: columns ``batch``, ``fit``, ``protocol``, ``n``, ``replication``, ``seconds``, ``host``
        and ``finished`` (seconds since 1970).
        """
        from moestat.montecarlo.store.timings import timings

        with self._transaction():
            return timings(self._connection, self._catalogue())

    def batches(self) -> Iterator[tuple[Finished, float]]:
        """The batches as they were appended, each with the time when it ended."""
        with self._transaction():
            texts, entries = self._catalogue(), list(reading.entries(self._connection))
        for entry in entries:
            with self._transaction():
                rows = reading.entry_rows(self._connection, texts, entry)
                took = reading.timing(self._connection, entry.id)
            seconds = np.frombuffer(took.seconds, dtype="<f8").astype(float)
            yield Finished(rows, seconds, took.host, texts.versions[entry.versions]), took.finished

    def results_digest(self, known: Mapping[str, bytes] | None = None) -> str:
        """SHA-256 of all results, whatever the order, the batches, the machine and the time they came from.

        All rows are read and checked on the way, but those of cells whose rows were read before: ``known`` has their
        joint digests (`CellRows.joint`), by the digests of the cells.
        """
        found = ResultsDigest()
        with self._transaction():
            for cell in self.cells():
                own = (known or {}).get(cell.digest)
                found.add_joint(cell, self.rows(cell).joint if own is None else own)
        return found.hexdigest()

    def export(self, path: str | Path) -> Path:
        """Write all results to a file, Parquet or CSV by its suffix: the same bytes for the same results.

        Parameters
        ----------
        path : str or Path
            It appears when it is complete; one that was there is replaced then.

        Raises
        ------
        InputError
            When the suffix is another, or pyarrow is missing.
        StoreError
            When it cannot be written.
        """
        from moestat.montecarlo.store.exporting import export

        with self._transaction():
            return export(self, Path(path))

    # ------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[None]:
        if write and self.read_only:
            raise StoreError(f"{str(self.path)!r} was opened for reading; open it without read_only.")
        with self._turn:
            suspects = (BrokenSealError,) if write else reading.MALFORMED  # a writer is handed values by others
            try:
                with reading.checked(self.path, suspects), transaction(self._connection, self.path, write):
                    yield
            except BaseException:
                self._texts = None  # what was added to it may not have been written
                raise

    def _catalogue(self) -> Catalogue:
        if self._texts is None or self._texts.size != reading.head(self._connection).texts:
            self._texts = reading.catalogue(self._connection)
        return self._texts


def _added(texts: Catalogue, study: str, cells: Sequence[Cell], where: str) -> list[tuple[str, str]]:
    """Texts to add so that a study and its cells are known; refuses what contradicts those that are."""
    refuse_namesakes(cells)
    refuse_changes(texts.cells.values(), cells, where)
    added = [(CELL, cell_body(cell)) for cell in in_order(cells) if cell.digest not in texts.numbers]
    if not texts.studies or texts.studies[-1].text != study:
        added.append((STUDY, study_body(Study(study, time.time()))))
    return added


def _make(target: Path, study: str, cells: Sequence[Cell]) -> None:
    """A store appears with its study and cells, or not at all."""
    added = _added(Catalogue(()), study, cells, "it")
    raw = unfinished(target)
    try:
        fill(raw, added)
        for ending in BESIDE:  # of a store that was deleted: SQLite would take them for parts of this one
            beside(target, ending).unlink(missing_ok=True)
        settle(raw, target)
    finally:
        raw.unlink(missing_ok=True)


def fill(path: Path, added: Iterable[tuple[str, str]]) -> None:
    """Write a store that holds these texts and no row yet."""
    path.unlink(missing_ok=True)
    connection: Any = connect(path, "mode=rwc")
    try:
        connection.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(f"BEGIN; {schema.CREATE} {schema.IDENTIFY} COMMIT;")
        with transaction(connection, path, write=True):
            writing.write_head(connection, Head())
            writing.write_texts(connection, Catalogue(()), added)
    finally:
        connection.close()
