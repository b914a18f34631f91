"""Columns of a user's table: found by name, missing entries counted, numbers and categories told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import InputError
from moestat.frames.spoilt import refuse_spoilt
from moestat.spelling import suggestion
from moestat.typing import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

#: Categories of each column in their order; None for a column of numbers.
Levels = dict[str, tuple[Any, ...] | None]


def as_frame(name: str, data: Any) -> pd.DataFrame:
    """The table that was passed, with names that are strings."""
    import pandas as pd

    if isinstance(data, Mapping):
        try:
            data = pd.DataFrame(dict(data))
        except ValueError as error:
            raise InputError(
                f"{name} must map names to columns of one length, as {{'x': [1.5]}} does; got a mapping that does not "
                f"({error})."
            ) from None
    if not isinstance(data, pd.DataFrame):
        hint = " Call its to_pandas()." if hasattr(data, "to_pandas") else ""
        raise InputError(
            f"{name} must be a pandas DataFrame, or a mapping of names to columns; got {type(data).__name__}.{hint}"
        )
    if len(data) == 0:
        raise InputError(f"{name} must have at least one row; got none.")
    names = [str(column) for column in data.columns]
    return data if names == list(data.columns) else data.set_axis(names, axis="columns")


def check_present(name: str, frame: pd.DataFrame, needed: Iterable[str]) -> None:
    """Refuse a table without these columns; the message lists those that are there."""
    known = list(frame.columns)
    absent = [column for column in needed if column not in known]
    if absent:
        hints = "".join(suggestion(column, known) for column in absent)
        several = "s" if len(absent) > 1 else ""
        raise InputError(f"{name} has no column{several} {_listed(absent)}; it has {_listed(known)}.{hints}")
    twice = [column for column in needed if known.count(column) > 1]
    if twice:
        raise InputError(f"{name} has several columns called {_listed(twice[:1])}. Rename all but one.")


def _listed(names: list[Any], most: int = 20) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


# --------------------------------------------------------------------------------------- missing entries
def missing_rows(columns: Mapping[str, Any], counted: BoolArray | None = None) -> tuple[BoolArray, str]:
    """Which rows have a missing entry in some column, and in words how many, and where.

    Rows that are not ``counted`` may hold anything. The words are empty when nothing is missing.
    """
    import pandas as pd

    masks = {name: np.asarray(pd.isna(column), dtype=bool) for name, column in columns.items()}
    if counted is not None:
        masks = {name: mask & counted for name, mask in masks.items()}
    missing = np.logical_or.reduce(list(masks.values()))
    count, places = int(missing.sum()), [f"{name} ({mask.sum()})" for name, mask in masks.items() if mask.any()]
    words = f"{count} of {missing.size} rows {'has' if count == 1 else 'have'} missing entries, in {', '.join(places)}"
    return missing, words if count else ""


# --------------------------------------------------------------------------------------- numbers and categories
def learn_levels(frame: pd.DataFrame, labels: Iterable[str]) -> Levels:
    """The categories of every column; ``labels`` are categories even if they are numbers. No entry is missing."""
    as_labels = set(labels)
    for name in frame.columns:
        if name not in as_labels and not _is_numeric(frame[name]):
            refuse_spoilt(name, frame[name])
    return {
        name: None if name not in as_labels and _is_numeric(frame[name]) else _levels(name, frame[name])
        for name in frame.columns
    }


def prepared(frame: pd.DataFrame, levels: Levels) -> pd.DataFrame:
    """Columns of floating-point numbers, and categories with the known levels."""
    import pandas as pd

    columns = {
        name: as_numbers(name, frame[name]) if known is None else _categories(name, frame[name], known)
        for name, known in levels.items()
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame)))


def as_numbers(name: str, column: pd.Series[Any]) -> FloatArray:
    """The column as floating-point numbers."""
    if not _is_numeric(column):
        refuse_spoilt(name, column, response=True)
        shown = next((entry for entry in column.tolist() if not _is_number(entry)), None)
        raise InputError(f"column {name!r} must hold numbers; got {shown!r}.")
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except OverflowError:
        raise InputError(f"column {name!r} holds a number beyond double precision. Divide by a constant.") from None


def _is_numeric(column: pd.Series[Any]) -> bool:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        return not pd.api.types.is_complex_dtype(column.dtype)
    return column.dtype == object and all(_is_number(entry) for entry in column.tolist())


def _is_number(entry: Any) -> bool:
    return isinstance(entry, Real | Decimal | np.bool_)


def _levels(name: str, column: pd.Series[Any]) -> tuple[Any, ...]:
    """Categories that occur, in the order of a pandas categorical, else sorted."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return tuple(column.cat.remove_unused_categories().cat.categories.tolist())
    if not (column.dtype == object or pd.api.types.is_string_dtype(column.dtype) or _is_numeric(column)):
        raise InputError(
            f"column {name!r} holds {column.dtype}; a formula takes numbers, strings and categories. "
            "Compute a column of numbers from it."
        )
    entries = column.tolist()
    try:
        return tuple(sorted(set(entries)))
    except TypeError:
        kinds = sorted({type(entry).__name__ for entry in entries})
        raise InputError(f"column {name!r} mixes entries of types {', '.join(kinds)}. Make them all strings.") from None


def _hint(entry: Any, known: tuple[Any, ...]) -> str:
    """A level that may be meant; or the same one as another type."""
    twin = next((level for level in known if str(level) == str(entry)), None)
    if twin is not None:
        kind = type(twin).__name__
        return f" The levels of the fit are of type {kind}: convert the column by .astype({kind})."
    return suggestion(str(entry), [str(level) for level in known])


def _categories(name: str, column: pd.Series[Any], known: tuple[Any, ...]) -> Any:
    import pandas as pd

    codes = {level: code for code, level in enumerate(known)}
    entries = column.tolist()
    try:
        unseen = list(dict.fromkeys(entry for entry in entries if entry not in codes))
    except TypeError:
        raise InputError(f"column {name!r} must hold categories; got entries that are collections.") from None
    if unseen:
        several = "levels" if len(unseen) > 1 else "the level"
        raise InputError(
            f"column {name!r} has {several} {_listed(unseen)}, not seen in the fit; known are "
            f"{_listed(list(known))}.{_hint(unseen[0], known)}"
        )
    categories: Any = pd.CategoricalDtype(list(known))
    return pd.Categorical.from_codes([codes[entry] for entry in entries], dtype=categories)
