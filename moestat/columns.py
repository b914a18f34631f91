"""Which columns of a table a selector means.

Selectors are those of scikit-learn's ColumnTransformer: names, positions, slices of either, masks, and functions
of the table such as ``make_column_selector(pattern="^z")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moestat.errors import InputError


def columns_of(argument: str, selector: Any, table: Any, names: Sequence[str] | None, count: int) -> tuple[int, ...]:
    """Positions of the columns that a selector means, in its order.

    Parameters
    ----------
    argument : str
        What the caller named the selector, for messages.
    selector : None, str, int, slice, callable or sequence of str, int or bool
        None means all columns. The end of a slice of names is included, as in pandas.
    table : array or data frame
        What a callable selector is called with.
    names : sequence of str, optional
        Names of the columns, where they have any.
    count : int
        Number of columns.

    Raises
    ------
    InputError
        For names and positions that are not there, columns chosen twice, and anything else.
    """
    if callable(selector):
        selector = selector(table)
    if selector is None:
        return tuple(range(count))
    if isinstance(selector, slice):
        return tuple(range(count)[_by_position(argument, selector, names, count)])
    entries = np.atleast_1d(np.asarray(selector, dtype=object)).tolist()
    if entries and all(isinstance(entry, bool | np.bool_) for entry in entries):
        return _by_mask(argument, entries, count)
    found = tuple(_position(argument, entry, names, count) for entry in entries)
    if len(set(found)) < len(found):
        raise InputError(f"{argument} must not choose a column twice; got {selector!r}.")
    return found


def _by_mask(argument: str, mask: list[bool], count: int) -> tuple[int, ...]:
    if len(mask) != count:
        raise InputError(f"{argument} must have one entry per column of X, {count}; got a mask of {len(mask)}.")
    return tuple(np.flatnonzero(mask).tolist())


def _by_position(argument: str, selector: slice, names: Sequence[str] | None, count: int) -> slice:
    """A slice whose ends are positions; the last name of a slice of names is part of it."""
    start, stop = selector.start, selector.stop
    if isinstance(start, str):
        start = _position(argument, start, names, count)
    if isinstance(stop, str):
        stop = _position(argument, stop, names, count) + 1
    try:
        return slice(*slice(start, stop, selector.step).indices(count))
    except TypeError:
        raise InputError(f"{argument} must be a slice of names or of positions; got {selector!r}.") from None


def _position(argument: str, entry: Any, names: Sequence[str] | None, count: int) -> int:
    if isinstance(entry, str):
        if names is None:
            raise InputError(
                f"{argument} names {entry!r}, but the columns of X have no names. Pass a data frame, or positions."
            )
        if entry not in names:
            raise InputError(f"{argument} names {entry!r}, which is no column of X; they are {list(names)}.")
        return list(names).index(entry)
    if isinstance(entry, int | np.integer) and not isinstance(entry, bool):
        if not -count <= entry < count:
            raise InputError(f"{argument} asks for column {entry}, but X has {count}, numbered from 0.")
        return int(entry) % count
    raise InputError(
        f"{argument} must hold names, positions from 0, a slice, a mask, or a function of X giving one; got {entry!r}."
    )
