"""CSV as it comes: read by pandas, and checked for what pandas reads without complaint though nobody meant it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moestat.errors import InputError, MoestatWarning, warn

if TYPE_CHECKING:
    import pandas as pd

#: With or without the mark that some programs put at the beginning of a file.
UTF_8 = "utf-8-sig"

#: The first bytes of a file in UTF-16, which spreadsheets call Unicode text.
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Reading:
    """How to read a CSV file; a Parquet file needs none of it."""

    sep: str | None = None
    decimal: str = "."
    thousands: str | None = None
    encoding: str = UTF_8
    na: Sequence[str] | None = None
    keep_na: bool = False

    def __post_init__(self) -> None:
        if self.sep == "":
            raise InputError(r"--sep must not be empty; for blanks pass --sep '\s+'.")


def read_csv(source: Path | bytes, sep: str, called: str, reading: Reading, text: Sequence[str] = ()) -> pd.DataFrame:
    """A table with the names in its first line.

    Parameters
    ----------
    source : Path or bytes
    sep : str
        The delimiter, unless the reading has another.
    called : str
        How messages call the file.
    reading : Reading
    text : sequence of str
        Columns that are text, whatever their entries look like.
    """
    _check_encoding(source, called, reading)
    table, overlong = _parsed(source, sep, called, reading, text, index_col=False)
    _check_header(table, called)
    if overlong:  # now the first field of a row is its name
        table, _ = _parsed(source, sep, called, reading, text, index_col=None)
        _check_row_names(table, called)
    if len(table) == 0:
        raise InputError(f"{called} has names of columns, but no rows.")
    return _stripped(table)


def _parsed(
    source: Path | bytes, sep: str, called: str, reading: Reading, text: Sequence[str], index_col: Any
) -> tuple[pd.DataFrame, bool]:
    """The table, and whether fields are left over; a delimiter at the end of every row leaves none."""
    import pandas as pd

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table: pd.DataFrame = pd.read_csv(
                BytesIO(source) if isinstance(source, bytes) else source,
                sep=sep if reading.sep is None else reading.sep.replace(r"\t", "\t"),  # shells write \t
                decimal=reading.decimal,
                thousands=reading.thousands,
                encoding=reading.encoding,
                na_values=list(reading.na or []) + ([""] if reading.keep_na else []),
                keep_default_na=not reading.keep_na,
                dtype=dict.fromkeys(text, str),
                skipinitialspace=True,
                index_col=index_col,
            )
    except pd.errors.EmptyDataError:
        raise InputError(f"{called} is empty. The first line must hold the names of the columns.") from None
    except UnicodeError:
        encoding = "UTF-8" if reading.encoding == UTF_8 else reading.encoding
        raise InputError(f"{called} is not written in {encoding}. Try --encoding latin-1.") from None
    except (LookupError, TypeError, ValueError, OSError) as error:  # pandas' ParserError is a ValueError
        cause = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{called} cannot be read as CSV ({cause}). See --sep, --decimal and --encoding.") from None
    return table, any(issubclass(one.category, pd.errors.ParserWarning) for one in caught)


# --------------------------------------------------------------------------------------- what nobody meant
def _check_encoding(source: Path | bytes, called: str, reading: Reading) -> None:
    if isinstance(source, bytes):
        start = source[:2]
    else:
        with source.open("rb") as stream:
            start = stream.read(2)
    if start in UTF_16 and reading.encoding == UTF_8:
        raise InputError(f"{called} is written in UTF-16. Pass --encoding utf-16 (spreadsheets need --sep '\\t' too).")


def _check_header(table: pd.DataFrame, called: str) -> None:
    """One column with a delimiter in its name, numbers for names, a comment."""
    names = [str(name) for name in table.columns]
    if len(names) == 1:
        marks = {";": ";", "\t": r"\t", "|": "|", ",": ",", " ": r"\s+"}
        first = " ".join(table.iloc[:1, 0].astype(str))
        found = next((mark for mark in marks if mark in names[0].strip() and (mark in ";\t|" or mark in first)), None)
        if found is not None:
            raise InputError(f"{called} has one column, {names[0]!r}. Pass --sep '{marks[found]}'.")
    if names[0].startswith("#"):
        raise InputError(f"{called} must begin with the names of the columns; got the comment {names[0]!r}. Remove it.")
    if all(_is_number(name) for name in names):
        raise InputError(
            f"the first line of {called} must hold the names of the columns; it holds numbers, {names[0]!r} first. "
            "Add a line with names."
        )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _check_row_names(table: pd.DataFrame, called: str) -> None:
    """Rows with one field more than the header begin with a name, as R writes them, if all of them do."""
    if table.iloc[:, -1].isna().any() or table.index.nlevels > 1:
        raise InputError(
            f"rows of {called} have more fields than the {table.shape[1]} names of its first line. Correct the file: "
            "each row must have one field for each name."
        )
    warn(f"{called} has no name for its first column; it is taken for the names of the rows.", MoestatWarning)


def _stripped(table: pd.DataFrame) -> pd.DataFrame:
    """Blanks round names and texts are no part of them."""
    import pandas as pd

    out = table.reset_index(drop=True).rename(columns=lambda name: str(name).strip())
    for position, dtype in enumerate(out.dtypes):
        if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
            entries = [entry.strip() if isinstance(entry, str) else entry for entry in out.iloc[:, position]]
            out.isetitem(position, pd.array(entries, dtype=dtype))
    return out
