"""Adding to a store: texts, and batches of rows with everything that vouches for them."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.rows import CRASHED, ERROR, OK, Finished, Row
from moestat.montecarlo.store import reading, schema
from moestat.montecarlo.store.catalogue import VERSIONS, Catalogue, canonical
from moestat.montecarlo.store.digests import RawRow, digest, less, total
from moestat.montecarlo.store.records import Entry, Head, Tally, Text, Timing, seal, sealed


def write_texts(connection: sqlite3.Connection, texts: Catalogue, added: Iterable[tuple[str, str]]) -> None:
    """Add texts, each in both of its places, and know them."""
    top = reading.head(connection)
    for kind, body in added:
        text = Text(texts.size + 1, kind, body)
        for statement in schema.PUT_TEXT:
            connection.execute(statement, sealed(text))
        texts.add(text)
        if text.id in texts.cells:
            top = _put_tally(connection, top, None, Tally(text.id, 0, "{}", total(())))
    write_head(connection, top._replace(texts=texts.size))


def write_head(connection: sqlite3.Connection, top: Head) -> None:
    """Put another head in the place of the last."""
    connection.execute(schema.PUT_HEAD, sealed(top))


def write_batch(
    connection: sqlite3.Connection, texts: Catalogue, finished: Finished, ended: float | None = None
) -> None:
    """Add a batch and bring tallies, chain and head up to date; to be called within a transaction."""
    raw, seconds = _in_order(texts, finished)
    versions = _versions_number(connection, texts, finished.versions)
    _put_rows(connection, texts, raw)
    top = reading.head(connection)
    entry = Entry(
        top.entries + 1,
        versions,
        np.array([row[0] for row in raw], dtype="<i8").tobytes(),
        digest(*(row[5] for row in raw)),
        top.chain,
    )
    took = Timing(entry.id, finished.host, time.time() if ended is None else float(ended), seconds)
    connection.execute(schema.PUT_ENTRY, sealed(entry))
    connection.execute(schema.PUT_TIMING, sealed(took))
    for cell in {row[0] >> schema.REPLICATION_BITS: None for row in raw}:
        top = _counted(connection, top, cell, [row for row in raw if row[0] >> schema.REPLICATION_BITS == cell])
    write_head(connection, top._replace(entries=entry.id, rows=top.rows + len(raw), chain=seal(entry)))


def _versions_number(connection: sqlite3.Connection, texts: Catalogue, versions: str) -> int:
    for number, text in texts.versions.items():
        if text == versions:
            return number
    write_texts(connection, texts, [(VERSIONS, versions)])
    return texts.size


def _put_rows(connection: sqlite3.Connection, texts: Catalogue, raw: Sequence[RawRow]) -> None:
    for number, outcome, status, numbers, words, own in raw:
        try:
            connection.execute(
                schema.PUT_ROW, (number, outcome.decode(), status.decode(), numbers, words.decode(), own)
            )
        except sqlite3.IntegrityError:
            label = texts.cells[number >> schema.REPLICATION_BITS].label
            raise InputError(
                f"rows: replication {number & schema.MASK} of the cell {label} is in the store already; "
                "ask `missing` for what is not."
            ) from None


def _counted(connection: sqlite3.Connection, top: Head, cell: int, raw: Sequence[RawRow]) -> Head:
    """Count the rows of a batch in the tally of their cell."""
    before = reading.tally(connection, cell)
    found = Counter(reading.counts(before))
    found.update((outcome.decode(), status.decode()) for _, outcome, status, *_ in raw)
    nested: dict[str, dict[str, int]] = {}
    for (outcome, status), n in found.items():
        nested.setdefault(outcome, {})[status] = n
    after = Tally(cell, before.rows + len(raw), canonical(nested), total([row[5] for row in raw], before=before.total))
    return _put_tally(connection, top, before, after)


def _put_tally(connection: sqlite3.Connection, top: Head, before: Tally | None, after: Tally) -> Head:
    """Put a tally in the place of another; returns the head that knows it."""
    connection.execute(schema.PUT_TALLY, sealed(after))
    rest = top.tallies if before is None else less(top.tallies, seal(before))
    return top._replace(tallies=total([seal(after)], before=rest))


def _in_order(texts: Catalogue, finished: Finished) -> tuple[list[RawRow], bytes]:
    """Rows as they go into the file, and their seconds, in the order of their numbers."""
    seconds = np.asarray(finished.seconds, dtype="<f8")
    if not finished.rows or seconds.shape != (len(finished.rows),):
        raise InputError(
            f"finished must have rows, and seconds of the shape ({len(finished.rows)},); "
            f"it has {len(finished.rows)} rows and seconds of shape {seconds.shape}."
        )
    raw = [_raw(texts, row) for row in finished.rows]
    order = sorted(range(len(raw)), key=lambda i: raw[i][0])
    return [raw[i] for i in order], seconds[order].tobytes()


def _raw(texts: Catalogue, row: Row) -> RawRow:
    number = texts.numbers.get(row.cell)
    if number is None:
        raise InputError(f"rows: no cell has the digest {row.cell!r}; register the cells of the study first.")
    cell = texts.cells[number]
    if np.shape(row.numbers) != (len(cell.columns),):
        raise InputError(
            f"rows: the cell {cell.label} has {len(cell.columns)} columns; "
            f"replication {row.replication} has numbers of shape {np.shape(row.numbers)}."
        )
    if not 0 <= row.replication <= schema.MASK:
        raise InputError(f"rows: replications count from 0 to {schema.MASK}; one has {row.replication}.")
    if row.outcome not in (OK, ERROR, CRASHED):
        raise InputError(f"rows: outcome must be one of {(OK, ERROR, CRASHED)}; got {row.outcome!r}.")
    try:
        outcome, status, words = (text.encode() for text in (row.outcome, row.status, row.words))
    except UnicodeEncodeError as error:
        raise InputError(f"rows: status and words must be texts that UTF-8 can write ({error}).") from None
    numbers = np.ascontiguousarray(row.numbers, dtype="<f8").tobytes()
    return schema.row_number(number, int(row.replication)), outcome, status, numbers, words, row.digest
