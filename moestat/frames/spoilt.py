"""Columns of text that were meant to be numbers, or that are no categories: refused, with the cause."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: Share of entries that read as numbers beyond which a column of text is thought to be a spoilt column of numbers.
MOSTLY = 0.5

#: Up to this many different entries may always be names of groups.
FEW_LABELS = 20

#: How people write numbers that pandas reads as text, and what to call it. The first that explains all entries counts.
_WRITTEN = (
    ("numbers with a thousands separator", re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?")),
    ("numbers with a decimal comma", re.compile(r"[-+]?\d+(,\d*)?")),
    ("numbers with a percent sign or a currency", re.compile(r"[-+]?[$€£¥]?\s?[-+]?[\d,.]*\d[\d,.]*\s?[%$€£¥]?")),
)
_AMBIGUOUS = re.compile(r"[-+]?\d{1,3},\d{3}")


def refuse_spoilt(name: str, column: pd.Series[Any], *, response: bool = False) -> None:
    """Refuse text that is mostly numbers, or as many different texts as rows: each would get a coefficient.

    Raises
    ------
    InputError
        With what stands in the column, an example, and the way out.
    """
    import pandas as pd

    if not (column.dtype == object or pd.api.types.is_string_dtype(column.dtype)):
        return
    entries = column.astype(str).str.strip()
    plain = pd.to_numeric(entries, errors="coerce").notna().to_numpy()
    written = [(what, entries.map(pattern.fullmatch).notna().to_numpy()) for what, pattern in _WRITTEN]
    readable = np.logical_or.reduce([plain, *(matches for _, matches in written)])
    if readable.mean() > MOSTLY:
        if response or not plain.all() or entries.nunique() > FEW_LABELS:
            what, odd = _cause(entries, plain, written, readable)
            _refuse(name, f"holds {what} in {int(odd.sum())} of {len(odd)} rows, such as", entries[odd], response)
    elif not response and entries.nunique() > max(FEW_LABELS, len(entries) / 2):
        several = f"has {entries.nunique()} different texts in {len(entries)} rows, such as"
        _refuse(name, several, entries, response, each=" (for dates, days since the first)")


def _cause(entries: pd.Series[Any], plain: Any, written: Any, readable: Any) -> tuple[str, Any]:
    """What is wrong with a column of numbers, and in which rows."""
    if plain.all():
        return "numbers written as text", plain
    if not readable.all():
        return "text among its numbers", ~readable
    if entries[~plain].map(_AMBIGUOUS.fullmatch).notna().all() and not plain.any():
        return "numbers with a comma, for thousands or for decimals,", ~plain
    return next(what for what, matches in written if (plain | matches).all()), ~plain


def _refuse(name: str, what: str, entries: pd.Series[Any], response: bool, each: str = "") -> None:
    quoted = name if name.isidentifier() else f"`{name}`"
    else_ = "" if response else f", or write C({quoted}) if the entries are names of categories"
    raise InputError(f"column {name!r} {what} {entries.iloc[0]!r}. Make it a column of numbers{each}{else_}.")
