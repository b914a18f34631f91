"""Tables of rows: CSV and Parquet, read and written."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from moestat.cli.dialects import Reading, read_csv
from moestat.errors import InputError
from moestat.spelling import suggestion

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t", ".tab": "\t"}
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")
PARQUET = (".parquet", ".pq")
STANDARD = "-"


def read_table(path: str, reading: Reading, text: Sequence[str] = ()) -> pd.DataFrame:
    """Rows of a file; ``-`` is CSV from standard input.

    Parameters
    ----------
    path : str
    reading : Reading
    text : sequence of str
        Columns that are text, whatever their entries look like.

    Raises
    ------
    InputError
        When there is no such file, or it cannot be read; the message says what to do.
    """
    if path == STANDARD:
        return read_csv(sys.stdin.buffer.read(), ",", "standard input", reading, text)
    file = Path(path)
    if not file.is_file():
        raise InputError(_no_file(file))
    kind = _kind(file)
    if kind in PARQUET:
        return _read_parquet(file)
    if kind not in DELIMITERS:
        raise InputError(
            f"{path} must end in {', '.join([*DELIMITERS, *PARQUET])}; got {kind or 'no ending'}. "
            "Save the table as CSV (a spreadsheet can), or rename the file."
        )
    return read_csv(file, DELIMITERS[kind], path, reading, text)


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write rows as CSV or Parquet, by the ending; numbers are written so that they can be read back exactly."""
    file = Path(path)
    if file.suffix in PARQUET:
        with _parquet_needs_a_library():
            table.to_parquet(file, index=False)
    else:
        table.to_csv(file, index=False, sep=DELIMITERS[_kind(file)])


def check_writable(path: str | Path, overwrite: bool, argument: str = "--out") -> None:
    """Refuse a file that would be lost, or whose ending is unknown, before any work is done."""
    file = Path(path)
    known = [*DELIMITERS, *PARQUET]
    if _kind(file) not in known:
        raise InputError(f"{argument} must end in {', '.join(known)}; got {str(path)!r}.")
    check_free(file, overwrite, argument)


def check_free(file: Path, overwrite: bool, argument: str) -> None:
    """Refuse a place where nothing can be written, or a file that would be lost."""
    if file.is_dir():
        raise InputError(f"{argument} must be a file; {str(file)!r} is a folder.")
    if file.exists() and not overwrite:
        raise InputError(f"{file} exists. Pass --overwrite, or another {argument}.")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {str(file.parent)!r} to write {file.name} to. Make it first.")


def _kind(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _no_file(file: Path) -> str:
    from moestat.datasets import DATASETS

    if file.stem in DATASETS and file.parent == Path():
        name = file.stem
        return (
            f"there is no file {str(file)!r}. It is a data set: write it with: moestat datasets {name} --out {name}.csv"
        )
    names = []
    with suppress(OSError):
        names = sorted(entry.name for entry in file.parent.iterdir())
    tables = [name for name in names if _kind(Path(name)) in (*DELIMITERS, *PARQUET)]
    there = f" Tables in that folder: {', '.join(tables[:10])}." if tables else ""
    return f"there is no file {str(file)!r}.{there}{suggestion(file.name, names)}"


def _read_parquet(file: Path) -> pd.DataFrame:
    import pandas as pd

    with _parquet_needs_a_library():
        try:
            return pd.read_parquet(file)
        except (ValueError, OSError) as error:  # pyarrow's own errors are of these kinds
            raise InputError(f"{file} cannot be read as Parquet ({error}).") from None


@contextmanager
def _parquet_needs_a_library() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise InputError(
            "Parquet files need the library pyarrow: pip install 'moestat[parquet]'. CSV needs nothing more."
        ) from None
