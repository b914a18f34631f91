"""Looking at every byte of a store that means something: what is damaged, by name."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moestat.errors import DamagedStoreError, StoreError
from moestat.montecarlo.rows import DIGEST_SIZE, Cell
from moestat.montecarlo.store import reading, schema
from moestat.montecarlo.store.catalogue import CELL, cell_of, in_order
from moestat.montecarlo.store.connection import connected, transaction
from moestat.montecarlo.store.digests import NOTHING, RawRow, digest, row_digests, total
from moestat.montecarlo.store.records import Entry, Head, Record, Tally, Text, Timing, seal, unsealed
from moestat.montecarlo.store.results import ResultsDigest
from moestat.typing import AnyArray, IntArray

#: Findings that the text of a report lists before the rest is counted.
LIMIT = 20


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written: where, and what."""

    where: str
    what: str


@dataclass(frozen=True)
class Report:
    """What `verify` saw.

    Parameters
    ----------
    path : Path
    findings : tuple of Finding
    cells, batches, rows : int
        How many are there and in order.
    bad_rows : tuple of (str, int)
        Name of the cell and replication of each row that is damaged or missing, as far as they can be told.
    bad_batches : tuple of int
        Batches that are damaged themselves, or have such a row.
    digest : str
        Digest of the results; empty where something is damaged.
    """

    path: Path
    findings: tuple[Finding, ...]
    cells: int
    batches: int
    rows: int
    bad_rows: tuple[tuple[str, int], ...]
    bad_batches: tuple[int, ...]
    digest: str

    @property
    def clean(self) -> bool:
        """Whether everything is as it was written."""
        return not self.findings

    def __str__(self) -> str:
        there = f"{self.cells} cells, {self.batches} batches and {self.rows} rows"
        if self.clean:
            return f"{self.path}: {there}, all as they were written. Digest of the results: {self.digest}"
        lines = [f"  {finding.where}: {finding.what}" for finding in self.findings[:LIMIT]]
        rest = len(self.findings) - LIMIT
        more = [f"  and {rest} more findings"] if rest > 0 else []
        return "\n".join([f"{self.path} is damaged; {there} are in order.", *lines, *more])


def verify(path: str | Path) -> Report:
    """Check everything that a store holds: SQLite's structures, every digest, every count, and the chain of batches.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Report

    Raises
    ------
    InputError
        When there is no file, it is no store, or of another format.
    StoreError
        When it cannot be opened for a reason that is no damage.
    """
    source = Path(path)
    check = _Check(source)
    try:
        connection = connected(source, read_only=True)
    except DamagedStoreError as error:
        check.find("file", str(error))
        return check.report()
    try:
        with check.step("file"), transaction(connection, source):
            check.run(connection)
    finally:
        connection.close()
    return check.report()


@dataclass
class _Check:
    """What is found on the way."""

    path: Path
    findings: list[Finding] = field(default_factory=list)
    cells: dict[int, Cell] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    bad_batches: set[int] = field(default_factory=set)
    batches: int = 0
    results: ResultsDigest = field(default_factory=ResultsDigest)

    def find(self, where: str, what: str) -> None:
        self.findings.append(Finding(where, what))

    @contextmanager
    def step(self, where: str) -> Iterator[None]:
        """An error ends the step that it is met in, and no more."""
        try:
            yield
        except (sqlite3.Error, StoreError, *reading.MALFORMED) as error:
            self.find(where, str(error) or type(error).__name__)

    def run(self, connection: sqlite3.Connection) -> None:
        with self.step("file"):
            for (line,) in connection.execute("PRAGMA integrity_check(20)"):
                if line != b"ok":
                    self.find("file", line.decode(errors="replace"))
        top = Head()
        with self.step("head"):
            top = reading.head(connection)
        self.texts(connection, top)
        self.rows(connection, top)
        self.chain(connection, top)
        self.timings(connection)

    def records(self, connection: sqlite3.Connection, kind: type[Record], query: str, where: str) -> Iterator[Record]:
        """Records with a good seal; the others are found wanting."""
        with self.step(where):
            for values in connection.execute(query):
                with self.step(where):
                    yield unsealed(kind, values)

    def texts(self, connection: sqlite3.Connection, top: Head) -> None:
        first = {text.id: text for text in self.records(connection, Text, schema.TEXTS, "texts")}
        spare = {text.id: text for text in self.records(connection, Text, schema.SPARE, "second copy of texts")}
        wanted = set(range(1, top.texts + 1))
        for known, where in ((first, "texts"), (spare, "second copy of texts")):
            if set(known) != wanted:
                self.find(where, f"of {top.texts}, missing or not known: {sorted(set(known) ^ wanted)[:LIMIT]}")
        for text in (spare | first).values():
            if text.kind == CELL:
                self.cells[text.id] = cell_of(text.body)

    def rows(self, connection: sqlite3.Connection, top: Head) -> None:
        tallies = {tally.id: tally for tally in self.records(connection, Tally, schema.TALLIES, "tallies")}
        if total([seal(one) for one in tallies.values()]) != top.tallies:
            self.find("tallies", "they are not those that the head knows")
        if set(tallies) != set(self.cells):
            self.find("tallies", "they are not those of the cells")
        seen = 0
        numbers = {cell.digest: number for number, cell in self.cells.items()}
        for cell in in_order(self.cells.values()):
            number = numbers[cell.digest]
            with self.step(f"cell {cell.label}"):
                seen += self.cell(connection, number, cell, tallies.get(number))
        with self.step("rows"):
            (there,) = connection.execute(schema.HOW_MANY).fetchone()
            if not seen == there == top.rows:
                self.find("rows", f"{seen} rows of cells are there, {there} rows in all, {top.rows} were written")

    def cell(self, connection: sqlite3.Connection, number: int, cell: Cell, tally: Tally | None) -> int:
        raw: list[RawRow] = []
        with self.step(f"cell {cell.label}"):
            for row in connection.execute(schema.ROWS, schema.bounds(number)):
                raw.append(row)
        good = [row for row in raw if self.row(cell, row)]
        self.keys += [row[0] for row in good]
        self.digests += [row[5] for row in good]
        self.results.add(cell, [row[5] for row in good])
        found = Counter((row[1].decode(), row[2].decode()) for row in good)
        if tally is not None and (len(good), total([row[5] for row in good]), found) != (
            *(tally.rows, tally.total),
            reading.counts(tally),
        ):
            self.find(f"cell {cell.label}", f"{len(good)} rows are in order; they are not the {tally.rows} written")
        return len(raw)

    def row(self, cell: Cell, raw: RawRow) -> bool:
        where = f"cell {cell.label}, replication {raw[0] & schema.MASK}"
        with self.step(where):
            if row_digests(cell.digest, [raw]) == [raw[5]]:
                return True
            self.find(where, "its digest does not agree")
        self.bad.add(raw[0])
        return False

    def chain(self, connection: sqlite3.Connection, top: Head) -> None:
        keys = np.array(self.keys, dtype=np.int64)
        order = np.argsort(keys)
        keys = keys[order]
        digests = np.frombuffer(b"".join(self.digests), dtype=f"V{DIGEST_SIZE}")[order]
        number, last, listed = 0, NOTHING, []
        for entry in self.records(connection, Entry, schema.ENTRIES, "batches"):
            if (entry.id, entry.previous) != (number + 1, last):
                self.find(f"batch {entry.id}", "it does not follow the batch before it")
                self.bad_batches.update(range(number + 1, entry.id))
            number, last = entry.id, seal(entry)
            self.batches += 1
            listed.append(reading.keys_of(entry))
            self.entry(entry, listed[-1], keys, digests)
        if (number, last) != (top.entries, top.chain):
            self.find("batches", f"the last is {number}, and not the {top.entries}th that the head knows")
        self.key_set(np.concatenate([np.empty(0, dtype=np.int64), *listed]), keys)

    def entry(self, entry: Entry, wanted: IntArray, keys: IntArray, digests: AnyArray) -> None:
        """A batch has the rows that it brought."""
        at = np.minimum(np.searchsorted(keys, wanted), max(keys.size - 1, 0))
        there = keys[at] == wanted if keys.size else np.zeros(wanted.size, dtype=bool)
        if there.all() and digest(*(bytes(one) for one in digests[at].tolist())) == entry.content:
            return
        self.bad_batches.add(entry.id)
        self.bad.update(wanted[~there].tolist())
        self.find(f"batch {entry.id}", f"{int(there.sum())} of its {wanted.size} rows are in order")

    def key_set(self, listed: IntArray, keys: IntArray) -> None:
        """Every row belongs to one batch."""
        if np.unique(listed).size != listed.size:
            self.find("batches", "two of them claim one row")
        orphans = np.setdiff1d(keys, listed)
        if orphans.size:
            self.find("batches", f"{orphans.size} rows belong to none of those that are in order")

    def timings(self, connection: sqlite3.Connection) -> None:
        found = [timing.id for timing in self.records(connection, Timing, schema.TIMINGS, "timings")]
        if found != list(range(1, self.batches + 1)):
            self.find("timings", f"{len(found)} of {self.batches} batches have one")

    def report(self) -> Report:
        bad = sorted(key for key in self.bad if key >> schema.REPLICATION_BITS in self.cells)
        names = tuple((self.cells[key >> schema.REPLICATION_BITS].label, key & schema.MASK) for key in bad)
        return Report(
            path=self.path,
            findings=tuple(self.findings),
            cells=len(self.cells),
            batches=self.batches,
            rows=len(self.keys),
            bad_rows=names,
            bad_batches=tuple(sorted(self.bad_batches)),
            digest="" if self.findings else self.results.hexdigest(),
        )
