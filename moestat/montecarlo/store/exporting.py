"""Results as tables and as files: Parquet with checksums, or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import DamagedStoreError, InputError
from moestat.montecarlo.rows import Cell
from moestat.montecarlo.store.catalogue import canonical, cell_body, cell_of
from moestat.montecarlo.store.connection import guarded
from moestat.montecarlo.store.digests import RawRow, digest, row_digests
from moestat.montecarlo.store.files import settle, unfinished
from moestat.montecarlo.store.reading import CellRows
from moestat.montecarlo.store.results import ResultsDigest

if TYPE_CHECKING:
    import pandas as pd

    from moestat.montecarlo.store.journal import Store

#: Under this name the file says what it holds.
ABOUT, SEAL = b"moestat.results", b"moestat.digest"


def numbers_of(cells: Iterable[Cell]) -> list[str]:
    """Names of all columns of numbers, in the order in which cells bring them."""
    return list(dict.fromkeys(name for cell in cells for name in cell.columns))


def columns_of(rows: CellRows, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Columns of a cell's rows; None for numbers that the cell does not have."""
    size = rows.replications.size
    where = {name: i for i, name in enumerate(rows.cell.columns)}
    yield "fit", np.full(size, rows.cell.fit)
    yield "protocol", np.full(size, rows.cell.protocol)
    yield "n", np.full(size, rows.cell.n)
    yield "replication", rows.replications
    yield "outcome", rows.outcomes
    yield "status", rows.statuses
    for name in names:
        yield name, rows.numbers[:, where[name]] if name in where else None
    yield "words", np.array(rows.words, dtype=object)


def frame(cells: Sequence[CellRows]) -> pd.DataFrame:
    """Rows of cells below each other."""
    import pandas as pd

    names = numbers_of(rows.cell for rows in cells)
    parts = []
    for rows in cells:
        parts.append({name: _filled(column, rows) for name, column in columns_of(rows, names)})
    keys = parts[0] if parts else ("fit", "protocol", "n", "replication", "outcome", "status", *names, "words")
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) if parts else [] for name in keys})


def _filled(column: Any, rows: CellRows) -> Any:
    return np.full(rows.replications.size, np.nan) if column is None else column


def export(store: Store, path: Path) -> Path:
    """Write the results of a store to a file that appears when it is complete."""
    writers: dict[str, Callable[[Store, Path], None]] = {".parquet": _parquet, ".csv": _csv}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"path must end in {' or '.join(writers)}; got {path.name!r}.")
    raw = unfinished(path)
    try:
        with guarded(path):
            writer(store, raw)
            settle(raw, path)
    finally:
        with suppress(OSError):
            raw.unlink(missing_ok=True)
    return path


def _csv(store: Store, path: Path) -> None:
    """Numbers are written so that they read back as they are; a column that a cell does not have is empty."""
    names = numbers_of(store.cells())
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["fit", "protocol", "n", "replication", "outcome", "status", *names, "words"])
        for rows in store.each():
            empty = [""] * rows.replications.size
            columns = [empty if column is None else column.tolist() for _, column in columns_of(rows, names)]
            lines.writerows(zip(*columns, strict=True))


def _parquet(store: Store, path: Path) -> None:
    """One group of rows for each cell; the footer says what the pages must add up to."""
    arrow, parquet = _libraries()
    names = numbers_of(store.cells())
    found, sizes = ResultsDigest(), []
    schema = _schema(arrow, names)
    options = {"write_page_checksum": True, "use_dictionary": ["fit", "protocol", "outcome", "status", "words"]}
    with parquet.ParquetWriter(path, schema, store_schema=False, compression="zstd", **options) as writer:
        for rows in store.each():
            found.add(rows.cell, rows.digests)
            sizes.append(rows.replications.size)
            if sizes[-1]:
                writer.write_table(_table(arrow, schema, rows, names), row_group_size=sizes[-1])
        about = {
            "digest": found.hexdigest(),
            "study": store.study,
            "versions": sorted(store.versions()),
            "cells": [cell_body(cell) for cell in store.cells()],
            "rows": sizes,
        }
        text = canonical(about)
        writer.add_key_value_metadata({ABOUT: text.encode(), SEAL: digest(text.encode()).hex().encode()})


def _schema(arrow: Any, names: Sequence[str]) -> Any:
    text, whole, number = arrow.string(), arrow.int64(), arrow.float64()
    before = [("fit", text), ("protocol", text), ("n", whole), ("replication", whole), ("outcome", text)]
    return arrow.schema([*before, ("status", text), *((name, number) for name in names), ("words", text)])


def _table(arrow: Any, schema: Any, rows: CellRows, names: Sequence[str]) -> Any:
    size = rows.replications.size
    columns = [
        arrow.nulls(size, arrow.float64()) if column is None else arrow.array(column, type=field.type)
        for field, (_, column) in zip(schema, columns_of(rows, names), strict=True)
    ]
    return arrow.table(columns, schema=schema)


def read_export(path: str | Path) -> pd.DataFrame:
    """Read a Parquet file that `Store.export` wrote; every number is checked against the digest of the results.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    DataFrame
        As `Store.frame`; in ``attrs`` the ``digest`` of the results, the ``study`` and the ``versions``.

    Raises
    ------
    InputError
        When there is no file, or it is not such a one.
    DamagedStoreError
        When it is not what was written.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"path: there is no file {str(source)!r}.")
    arrow, _ = _libraries()
    try:
        return _read(source)
    except (arrow.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise DamagedStoreError(f"{str(source)!r} is damaged ({error}); export it again from its store.") from error


def _read(source: Path) -> pd.DataFrame:
    _, parquet = _libraries()
    with parquet.ParquetFile(source, page_checksum_verification=True) as file:
        known = file.metadata.metadata or {}
        if ABOUT not in known:
            raise InputError(f"{str(source)!r} is not an export of a store.")
        if digest(known[ABOUT]).hex().encode() != known.get(SEAL):
            raise ValueError("its description does not agree with its digest")
        about = json.loads(known[ABOUT])
        cells = [cell_of(body) for body in about["cells"]]
        schema = _schema(_libraries()[0], numbers_of(cells))
        if not file.schema_arrow.equals(schema):
            raise ValueError("its columns are not those of its cells")
        table = file.read()
    rows = list(_split(table, cells, about["rows"]))
    found = ResultsDigest()
    for one in rows:
        found.add(one.cell, one.digests)
    if found.hexdigest() != about["digest"]:
        raise ValueError("its numbers do not agree with their digest")
    result = frame(rows)
    result.attrs.update({key: about[key] for key in ("digest", "study", "versions")})
    return result


def _split(table: Any, cells: Sequence[Cell], sizes: Sequence[int]) -> Iterator[CellRows]:
    """Rows cell by cell, with digests of what is there."""
    if table.num_rows != sum(sizes):
        raise ValueError(f"it has {table.num_rows} rows of {sum(sizes)}")
    start = 0
    for cell, size in zip(cells, sizes, strict=True):
        part = table.slice(start, size)
        start += size
        outcomes, statuses, words = (part[name].to_pylist() for name in ("outcome", "status", "words"))
        whole, labels = part["replication"].to_numpy(), [part[name].to_pylist() for name in ("fit", "protocol", "n")]
        if labels != [[cell.fit] * size, [cell.protocol] * size, [cell.n] * size]:
            raise ValueError(f"rows of another cell stand where those of {cell.label} should")
        numbers = np.empty((size, len(cell.columns)))
        for j, name in enumerate(cell.columns):
            numbers[:, j] = part[name].to_numpy()
        raw: list[RawRow] = [
            (key, outcome.encode(), status.encode(), line.astype("<f8").tobytes(), word.encode(), b"")
            for key, outcome, status, line, word in zip(whole.tolist(), outcomes, statuses, numbers, words, strict=True)
        ]
        own = tuple(row_digests(cell.digest, raw))
        ends = np.array(outcomes, dtype=np.str_), np.array(statuses, dtype=np.str_)
        yield CellRows(cell, whole, ends[0], ends[1], numbers, tuple(words), own)


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            "Parquet files need the library pyarrow: pip install 'moestat[parquet]'. CSV needs nothing more."
        ) from None
    return pyarrow, parquet
