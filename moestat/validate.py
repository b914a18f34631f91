"""Turn what a user passes into float64 arrays, or say exactly what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.typing import AnyArray, BoolArray, FloatArray, IntArray


def column_names(value: Any, prefix: str, count: int) -> tuple[str, ...]:
    """Names of the columns: a data frame's own, or ``prefix1``, ``prefix2``, ..."""
    columns = getattr(value, "columns", None)
    if columns is None and getattr(value, "name", None) is not None:
        columns = [value.name]
    names = [str(c) for c in columns] if columns is not None else [f"{prefix}{i + 1}" for i in range(count)]
    if len(set(names)) != len(names):
        raise InputError(f"column names must be distinct; got {names}. Rename the repeated columns.")
    return tuple(names)


def count_rows(name: str, value: Any) -> int:
    """Number of rows of an input that is the first to say how many there are."""
    try:
        shape = np.shape(value)
    except ValueError:
        raise InputError(f"{name} must be a rectangular array of numbers; got rows of unequal length.") from None
    return int(shape[0]) if shape else 0


def as_matrix(name: str, value: Any, n_rows: int | None = None, keep: BoolArray | None = None) -> FloatArray:
    """Dense float64 array (n, d), finite in the rows to keep; a vector counts as one column."""
    array = _real(name, value)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise InputError(f"{name} must be a matrix (rows, columns); got an array of shape {array.shape}.")
    _check_rows(name, array.shape[0], n_rows)
    _check_finite(name, array, keep)
    return array


def as_vector(name: str, value: Any, n_rows: int, keep: BoolArray | None = None) -> FloatArray:
    """Dense float64 vector (n,), finite in the rows to keep; a single number is repeated."""
    array = _real(name, value)
    if array.ndim == 0:
        array = np.full(n_rows, float(array))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"{name} must be a vector with one entry per row; got an array of shape {array.shape}.")
    _check_rows(name, array.shape[0], n_rows)
    _check_finite(name, array, keep)
    return array


def as_weights(value: Any, n_rows: int) -> FloatArray:
    """Sample weights (n,): finite, none negative, not all zero."""
    weights = as_vector("sample_weight", value, n_rows)
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise InputError(
            f"sample_weight must not be negative; got {weights[row]} in row {row}. "
            "Weights are frequencies: a row of weight 2 counts as two rows; use 0 to leave a row out."
        )
    if not (weights > 0).any():
        raise InputError("sample_weight must have a positive entry; all weights are zero, so no row is left.")
    if not np.isfinite(weights.sum()):
        raise InputError("sample_weight must have a finite sum; got infinity. Divide the weights by a constant.")
    return weights


def as_classes(
    value: Any, n_rows: int, keep: BoolArray, known: Sequence[Any] | None = None
) -> tuple[IntArray, tuple[Any, ...]]:
    """Class codes (n,) and the classes in order: the known ones, or the distinct labels among the rows to keep.

    Labels are sorted; a pandas categorical keeps its order. Codes of the other rows mean nothing.
    """
    if getattr(value, "ndim", 1) == 2 and hasattr(value, "iloc") and value.shape[1] == 1:
        value = value.iloc[:, 0]
    order = getattr(getattr(value, "dtype", None), "categories", None)
    labels = _labels(value)
    _check_rows("y", labels.shape[0], n_rows)
    _check_labels(labels, keep)
    levels = list(known) if known is not None else _levels(labels[keep], order)
    position = {level: code for code, level in enumerate(levels)}
    unknown = sorted({str(label) for label in labels[keep].tolist() if label not in position})
    if unknown:
        raise InputError(f"y must hold the classes {levels}; got also {unknown}.")
    codes = np.array([position.get(label, 0) for label in labels.tolist()], dtype=np.int64)
    return codes, tuple(levels)


def _levels(labels: AnyArray, order: Any) -> list[Any]:
    """Distinct labels, in the order given or sorted."""
    if order is not None:
        present = set(labels.tolist())
        levels = [level for level in order if level in present]
    else:
        try:
            levels = np.unique(labels).tolist()
        except TypeError:
            kinds = sorted({type(label).__name__ for label in labels.tolist()})
            raise InputError(f"y must hold labels that can be sorted; got types {kinds}.") from None
    if len(levels) < 2:
        raise InputError(
            f"y must hold at least two classes for a categorical expert; got only one class: {levels[0]!r}."
        )
    if len(levels) == labels.size > 2:
        raise InputError(
            f"y must hold classes that occur more than once; all {labels.size} labels differ. "
            "For a continuous response choose another expert, such as gaussian."
        )
    return levels


def _labels(value: Any) -> AnyArray:
    """Vector of labels; a list is taken entry by entry, for NumPy would make strings of numbers beside strings."""
    _check_mask("y", value)
    if hasattr(value, "dtype"):
        labels = np.asarray(value)
    else:
        try:
            shape = np.shape(value)
        except ValueError:
            raise InputError("y must be a vector of class labels; got rows of unequal length.") from None
        labels = np.empty(shape, dtype=object)
        labels[...] = np.array(value, dtype=object).reshape(shape)
        if labels.size and len({type(label) for label in labels.ravel().tolist()}) == 1:
            labels = np.asarray(value)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(f"y must be a vector of class labels; got an array of shape {labels.shape}.")
    return labels


def _check_labels(labels: AnyArray, keep: BoolArray) -> None:
    import pandas as pd

    if np.issubdtype(labels.dtype, np.complexfloating):
        raise InputError("y must hold class labels; got complex numbers.")
    if np.issubdtype(labels.dtype, np.floating):
        _check_finite("y", labels, keep)
        broken = labels[keep & (labels != np.round(labels))] if np.isfinite(labels).all() else labels[:0]
        if broken.size:
            raise InputError(
                f"y must hold class labels; got the real number {float(broken[0])!r}. For a continuous response choose "
                "another expert, such as gaussian; for classes pass integers, strings or a pandas categorical."
            )
        return
    missing = np.flatnonzero(pd.isna(labels) & keep)
    if missing.size:
        raise InputError(f"y holds {missing.size} missing labels, the first in row {missing[0]}; drop those rows.")
    kinds = {type(label).__name__ for label in labels.tolist()} if labels.dtype == object else set()
    if len(kinds) > 1 and "str" in kinds:
        raise InputError(f"y must hold labels of one type; got a mixture of {sorted(kinds)}.")


def _real(name: str, value: Any) -> FloatArray:
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise InputError(f"{name} must be dense; got a sparse {type(value).__name__}. Pass {name}.toarray().")
    _check_mask(name, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} must be a rectangular array of numbers; got rows of unequal length.") from error
    if np.issubdtype(array.dtype, np.complexfloating):
        raise InputError(
            f"{name} must be real; got complex numbers. Pass the real part, or real and imaginary columns."
        )
    if array.dtype.kind not in "fiub" and array.dtype != object:
        raise InputError(
            f"{name} must be numeric; got dtype {array.dtype}. "
            "Encode categories as numbers, one indicator column per level."
        )
    try:
        return np.asarray(array, dtype=np.float64)
    except OverflowError as error:
        raise InputError(f"{name} holds a number beyond double precision. Divide by a constant.") from error
    except (TypeError, ValueError) as error:
        bad = _first_non_number(array)
        raise InputError(
            f"{name} must be numeric; got {bad[1]!r} at position {bad[0]}. "
            "Encode categories as numbers, one indicator column per level."
        ) from error


def _check_mask(name: str, value: Any) -> None:
    if np.ma.is_masked(value):
        count = int(np.ma.getmaskarray(value).sum())
        raise InputError(f"{name} holds {count} masked entries; fill them or drop those rows.")


def _first_non_number(array: AnyArray) -> tuple[tuple[int, ...], Any]:
    for position, entry in np.ndenumerate(array):
        try:
            float(entry)
        except (TypeError, ValueError):
            return position, entry
    return (), array


def _check_rows(name: str, rows: int, expected: int | None) -> None:
    if rows == 0:
        raise InputError(f"{name} must have at least one row; got none.")
    if expected is not None and rows != expected:
        raise InputError(
            f"{name} must have as many rows as the other inputs, {expected}; got {rows}. "
            "Pass the same rows in every argument."
        )


def _check_finite(name: str, array: FloatArray, keep: BoolArray | None = None) -> None:
    bad = ~np.isfinite(array)
    if keep is not None:
        bad[~keep] = False
    if not bad.any():
        return
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f"row {first[0]}" + (f", column {first[1]}" if len(first) > 1 else "")
    raise InputError(
        f"{name} must be finite; got {array[first]} in {where} ({int(bad.sum())} such entries in all). "
        "Drop or impute those rows first."
    )
