"""What lies in a store, read so that a damaged byte is an error and never a number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moestat.errors import DamagedStoreError, MoestatError
from moestat.montecarlo.rows import Cell, Row
from moestat.montecarlo.store import schema
from moestat.montecarlo.store.catalogue import Catalogue
from moestat.montecarlo.store.connection import REPAIR
from moestat.montecarlo.store.digests import NOTHING, RawRow, row_digests, total
from moestat.montecarlo.store.records import BrokenSealError, Entry, Head, Record, Tally, Text, Timing, seal, unsealed
from moestat.montecarlo.store.results import joint
from moestat.typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class CellRows:
    """The rows of one cell, in the order of their replications.

    Parameters
    ----------
    cell : Cell
    replications : ndarray (R,)
    outcomes, statuses : ndarray (R,) of str
    numbers : ndarray (R, C)
        By the columns of the cell.
    words : tuple of str
        One for each row.
    digests : tuple of bytes
        One for each row; empty where they were not checked.
    """

    cell: Cell
    replications: IntArray
    outcomes: AnyArray
    statuses: AnyArray
    numbers: FloatArray
    words: tuple[str, ...]
    digests: tuple[bytes, ...]

    @property
    def joint(self) -> bytes:
        """One digest of those of the rows, for the digest of all results."""
        return joint(self.digests)


#: What comes of values that do not have the type or the form in which they were written.
MALFORMED = (TypeError, ValueError, OverflowError, KeyError, IndexError, MemoryError)


@contextmanager
def checked(path: Path, errors: tuple[type[Exception], ...] = MALFORMED) -> Iterator[None]:
    """What does not have the form in which it was written is damage."""
    try:
        yield
    except MoestatError:
        raise
    except errors as error:
        raise DamagedStoreError(f"{str(path)!r} is damaged: {error}. {REPAIR}") from error


def records(connection: sqlite3.Connection, kind: type[Record], query: str) -> Iterator[Record]:
    """Records of a kind, each with its seal checked."""
    for values in connection.execute(query):
        yield unsealed(kind, values)


def head(connection: sqlite3.Connection) -> Head:
    """What there is in all."""
    return unsealed(Head, connection.execute(schema.HEAD).fetchone())


def catalogue(connection: sqlite3.Connection) -> Catalogue:
    """All texts."""
    found = Catalogue(records(connection, Text, schema.TEXTS))
    if found.size != head(connection).texts:
        raise BrokenSealError(f"there are {found.size} texts of {head(connection).texts}")
    return found


def tally(connection: sqlite3.Connection, cell: int) -> Tally:
    """What there is of a cell."""
    return unsealed(Tally, connection.execute(schema.TALLY, (cell,)).fetchone())


def tallies(connection: sqlite3.Connection) -> list[Tally]:
    """What there is of every cell, checked against the head."""
    found = list(records(connection, Tally, schema.TALLIES))
    top = head(connection)
    if total([seal(one) for one in found]) != top.tallies or sum(one.rows for one in found) != top.rows:
        raise BrokenSealError("tallies: they are not those that the head knows")
    return found


def entries(connection: sqlite3.Connection) -> Iterator[Entry]:
    """All batches in their order, checked to be an unbroken chain up to the head."""
    number, last = 0, NOTHING
    for entry in records(connection, Entry, schema.ENTRIES):
        number += 1
        if entry.id != number or entry.previous != last:
            raise BrokenSealError(f"batch {number}: it is missing, or does not follow the one before it")
        last = seal(entry)
        yield entry
    top = head(connection)
    if (number, last) != (top.entries, top.chain):
        raise BrokenSealError(f"batch {number} is not the last: there were {top.entries}")


def keys_of(entry: Entry) -> IntArray:
    """Numbers of the rows of a batch."""
    return np.frombuffer(entry.keys, dtype="<i8").astype(np.int64, copy=False)


def keys(connection: sqlite3.Connection) -> IntArray:
    """Numbers of all rows, in rising order."""
    joined = b"".join(entry.keys for entry in entries(connection))
    return np.sort(np.frombuffer(joined, dtype="<i8").astype(np.int64, copy=False))


def timing(connection: sqlite3.Connection, entry: int) -> Timing:
    """What a batch took."""
    return unsealed(Timing, connection.execute(schema.TIMING, (entry,)).fetchone())


def cell_rows(connection: sqlite3.Connection, cell: Cell, number: int, verify: bool) -> CellRows:
    """The rows of a cell: all that there should be, and none that should not."""
    raw: list[RawRow] = connection.execute(schema.ROWS, schema.bounds(number)).fetchall()
    known = tally(connection, number)
    digests: tuple[bytes, ...] = ()
    if verify:
        digests = _confirmed(cell, raw, known)
    elif len(raw) != known.rows:
        raise BrokenSealError(f"cell {cell.label}: {len(raw)} rows of {known.rows} are there")
    return _arrays(cell, raw, digests)


def _confirmed(cell: Cell, raw: list[RawRow], known: Tally) -> tuple[bytes, ...]:
    found = row_digests(cell.digest, raw)
    for row, own in zip(raw, found, strict=True):
        if row[5] != own:
            raise BrokenSealError(f"cell {cell.label}, replication {row[0] & schema.MASK}: its digest does not agree")
    if len(raw) != known.rows or total(found) != known.total:
        raise BrokenSealError(f"cell {cell.label}: its {len(raw)} rows are not the {known.rows} that were written")
    return tuple(found)


def _arrays(cell: Cell, raw: list[RawRow], digests: tuple[bytes, ...]) -> CellRows:
    if not raw:
        raw_columns: tuple[tuple[bytes, ...], ...] = ((),) * 5
    else:
        raw_columns = tuple(zip(*raw, strict=True))[1:]
    outcomes, statuses, numbers, words, _ = raw_columns
    known = {text: text.decode() for text in {*outcomes, *statuses}}
    return CellRows(
        cell,
        np.array([row[0] for row in raw], dtype=np.int64) & schema.MASK,
        np.array([known[text] for text in outcomes], dtype=np.str_),
        np.array([known[text] for text in statuses], dtype=np.str_),
        np.frombuffer(b"".join(numbers), dtype="<f8").astype(float).reshape(len(raw), len(cell.columns)),
        tuple(text.decode() for text in words),
        digests,
    )


def row_of(cell: Cell, raw: RawRow) -> Row:
    """A row as the runner made it; a damaged one raises `BrokenSealError`."""
    number, outcome, status, numbers, words, own = raw
    if row_digests(cell.digest, [raw]) != [own]:
        raise BrokenSealError(f"cell {cell.label}, replication {number & schema.MASK}: its digest does not agree")
    return Row(
        cell.digest,
        number & schema.MASK,
        outcome.decode(),
        status.decode(),
        np.frombuffer(numbers, dtype="<f8").astype(float),
        words.decode(),
    )


def entry_rows(connection: sqlite3.Connection, texts: Catalogue, entry: Entry) -> tuple[Row, ...]:
    """The rows that a batch brought."""
    found = []
    for key in keys_of(entry).tolist():
        raw = connection.execute(schema.ROW, (key,)).fetchone()
        if raw is None:
            raise BrokenSealError(f"batch {entry.id}: its row {key} is missing")
        found.append(row_of(texts.cells[key >> schema.REPLICATION_BITS], raw))
    return tuple(found)


def counts(known: Tally) -> dict[tuple[str, str], int]:
    """Number of rows of a cell by outcome and status."""
    nested: dict[str, dict[str, int]] = json.loads(known.outcomes)
    return {(outcome, status): n for outcome, inner in nested.items() for status, n in inner.items()}
