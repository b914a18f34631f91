"""Parameter records and their layout in one flat vector.

A *record* is a frozen dataclass of arrays in the user's units. Its fields say which axes they run
over and which values they may take; shape checks, packing into the flat estimation vector, names and
tables all follow from that. The estimation space is unconstrained: positive fields enter as logs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt, prod
from typing import Any, TypeVar, dataclass_transform

import numpy as np

from moestat.errors import InputError
from moestat.typing import FloatArray, IntArray

T = TypeVar("T")

#: Logarithms of the smallest and the largest positive number.
LOG_SMALLEST, LOG_LARGEST = -708.0, 709.0


# --------------------------------------------------------------------------------------- supports
@dataclass(frozen=True)
class Support:
    """Set of values a field may take, with its map to the whole real line."""

    name: str
    free: Callable[[FloatArray], FloatArray]
    natural: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]  # d natural / d free, as a function of the natural value
    contains: Callable[[FloatArray], bool]
    rule: str


def _same(x: FloatArray) -> FloatArray:
    return x


def _all_finite(x: FloatArray) -> bool:
    return bool(np.isfinite(x).all())


def _all_positive(x: FloatArray) -> bool:
    return _all_finite(x) and bool((x > 0).all())


REAL = Support("real", _same, _same, np.ones_like, _all_finite, "must be finite")


def _exp(x: FloatArray) -> FloatArray:
    """exp(x), within the range of double precision: on its way to infinity a parameter stays a number."""
    return np.exp(x if np.iscomplexobj(x) else np.clip(x, LOG_SMALLEST, LOG_LARGEST))


POSITIVE = Support("positive", np.log, _exp, _same, _all_positive, "must be finite and larger than zero")


# --------------------------------------------------------------------------------------- records
def axes(*names: str, support: Support = REAL, label: str | None = None) -> Any:
    """Declare a record's field: the axes of its array, its support, and its label in parameter names.

    Parameters
    ----------
    *names : str
        Axis names, outermost first; ``"expert"`` leads for what each expert owns, and is absent from
        what all experts share.
    support : Support
        ``REAL`` or ``POSITIVE``.
    label : str, optional
        How the field shows in a parameter's name (``const``, ``variance``); fields over features are
        named by their features instead.
    """
    return dataclasses.field(metadata={"axes": names, "support": support, "label": label})


def part() -> Any:
    """Declare a field that is itself a record (a composed gate keeps its inner gate's record)."""
    return dataclasses.field(metadata={"part": True})


def _freeze_arrays(self: Any) -> None:
    for f in dataclasses.fields(self):
        if "axes" in f.metadata:
            array = _numbers(f.name, getattr(self, f.name))
            array.setflags(write=False)
            object.__setattr__(self, f.name, array)


def _numbers(name: str, value: Any) -> FloatArray:
    try:
        return np.array(value, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers; got {value!r}.") from error


def _records_equal(self: Any, other: Any) -> bool:
    if type(self) is not type(other):
        return False
    pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(axes, part))
def parameters(cls: type[T]) -> type[T]:
    """Make a class a parameter record: frozen, keyword-only, with read-only float64 arrays."""
    cls.__post_init__ = _freeze_arrays  # type: ignore[attr-defined]
    cls.__eq__ = _records_equal  # type: ignore[method-assign]
    cls.__hash__ = None  # type: ignore[assignment]
    return dataclass(frozen=True, kw_only=True, eq=False)(cls)


# --------------------------------------------------------------------------------------- layouts
@dataclass(frozen=True)
class Slot:
    """Where one field lives in the flat vector."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    support: Support
    label: str | None

    @cached_property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The flat, unconstrained vector of a record: field after field, in the order of declaration.

    Parameters
    ----------
    build : callable
        Builds the record from keyword arguments.
    entries : tuple of (str, Slot or Layout)
        Fields and nested records, in order.
    """

    build: Callable[..., Any]
    entries: tuple[tuple[str, Slot | Layout], ...]

    @cached_property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(entry.size for _, entry in self.entries)

    def leaves(self, prefix: str = "", offset: int = 0) -> Iterator[tuple[str, Slot, int]]:
        """Yield (dotted path, slot, offset) of every array field."""
        for name, entry in self.entries:
            path = f"{prefix}{name}"
            if isinstance(entry, Layout):
                yield from entry.leaves(f"{path}.", offset)
            else:
                yield path, entry, offset
            offset += entry.size

    def part(self, name: str) -> Layout:
        """Layout of a nested record."""
        entry = dict(self.entries)[name]
        assert isinstance(entry, Layout)
        return entry

    def start_of(self, name: str) -> int:
        """Position of a direct entry in the flat vector."""
        offset = 0
        for entry_name, entry in self.entries:
            if entry_name == name:
                return offset
            offset += entry.size
        raise KeyError(name)

    def index(self, path: str) -> IntArray:
        """Flat positions of one field, in the field's own shape."""
        for leaf, slot, offset in self.leaves():
            if leaf == path:
                return np.arange(offset, offset + slot.size, dtype=np.int64).reshape(slot.shape)
        known = ", ".join(leaf for leaf, _, _ in self.leaves())
        raise InputError(f"unknown parameter field {path!r}; the fields of this model are: {known}.")

    def pack(self, record: Any, prefix: str = "") -> FloatArray:
        """Flat unconstrained vector of a record, after checking shapes and supports."""
        pieces = [np.empty(0)]
        for name, entry in self.entries:
            value = _member(record, name)
            if isinstance(entry, Layout):
                pieces.append(entry.pack(value, f"{prefix}{name}."))
            else:
                pieces.append(entry.support.free(_checked(f"{prefix}{name}", value, entry)).ravel())
        return np.concatenate(pieces)

    def unpack(self, theta: FloatArray) -> Any:
        """Record of a flat unconstrained vector."""
        values: dict[str, Any] = {}
        offset = 0
        for name, entry in self.entries:
            chunk = theta[offset : offset + entry.size]
            if isinstance(entry, Layout):
                values[name] = entry.unpack(chunk)
            else:
                values[name] = entry.support.natural(chunk).reshape(entry.shape)
            offset += entry.size
        return self.build(**values)

    def natural(self, theta: FloatArray) -> FloatArray:
        """Flat vector in the user's units (variances, not their logs)."""
        out = np.empty_like(theta)
        for _, slot, start in self.leaves():
            out[start : start + slot.size] = slot.support.natural(theta[start : start + slot.size])
        return out

    def slope(self, theta: FloatArray) -> FloatArray:
        """d natural / d unconstrained, one entry per parameter."""
        out = np.empty_like(theta)
        natural = self.natural(theta)
        for _, slot, start in self.leaves():
            out[start : start + slot.size] = slot.support.slope(natural[start : start + slot.size])
        return out

    def permute(self, theta: FloatArray, order: Sequence[int] | IntArray) -> FloatArray:
        """Relabel experts: entry ``j`` of every expert axis becomes the old entry ``order[j]``."""
        out = theta.copy()
        for _, slot, start in self.leaves():
            if slot.axes and slot.axes[0] == "expert":
                if slot.shape[0] != len(order):
                    raise InputError(f"order must name the {slot.shape[0]} experts of this layout; got {list(order)}.")
                rows = theta[start : start + slot.size].reshape(slot.shape)
                out[start : start + slot.size] = rows[np.asarray(order)].ravel()
        return out


def layout_of(record: type, sizes: Mapping[str, int], **parts: Layout) -> Layout:
    """Layout of a record class, given the length of each axis and the layouts of its nested records."""
    entries: list[tuple[str, Slot | Layout]] = []
    for f in dataclasses.fields(record):
        if "part" in f.metadata:
            entries.append((f.name, parts[f.name]))
        else:
            names = f.metadata["axes"]
            shape = tuple(sizes[name] for name in names)
            entries.append((f.name, Slot(names, shape, f.metadata["support"], f.metadata["label"])))
    return Layout(record, tuple(entries))


def own_columns(*indices: IntArray) -> IntArray:
    """Stack index arrays (K, ...) into ``columns`` (K, q): the local parameters of each expert, side by side."""
    n_experts = indices[0].shape[0]
    return np.concatenate([index.reshape(n_experts, -1) for index in indices], axis=1)


def n_pairs(n_features: int) -> int:
    """Length of the axis ``pair``: distinct pairs of features u >= v, in the order (1,1), (2,1), (2,2), (3,1), ..."""
    return n_features * (n_features + 1) // 2


def n_paired(pairs: int) -> int:
    """Number of features with so many pairs; the inverse of `n_pairs`, rounded down."""
    return (isqrt(8 * pairs + 1) - 1) // 2


def pair_labels(features: Sequence[Any]) -> list[str]:
    """Entries of the axis ``pair`` in words: ``x1*x1``, ``x2*x1``, ``x2*x2``, ..."""
    return [f"{one}*{other}" for u, one in enumerate(features) for other in features[: u + 1]]


def shared_columns(n_experts: int, index: IntArray) -> IntArray:
    """``columns`` of a field that every expert shares: the same positions in each row."""
    return np.tile(index.reshape(1, -1), (n_experts, 1))


def _member(record: Any, name: str) -> Any:
    """Entry of a record, of a mapping, or of a sequence by its number."""
    if isinstance(record, Mapping):
        if name not in record:
            raise InputError(f"parameter field {name!r} is missing; got {sorted(record)}.")
        return record[name]
    if name.isdigit():
        members = getattr(record, "members", record)
        if not isinstance(members, Sequence) or int(name) >= len(members):
            raise InputError(f"a tuple with a member {name} is needed, one record per expert; got {members!r}.")
        return members[int(name)]
    try:
        return getattr(record, name)
    except AttributeError:
        raise InputError(f"a {type(record).__name__} has no field {name!r}, which this model needs.") from None


def _checked(path: str, value: Any, slot: Slot) -> FloatArray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != slot.shape:
        meaning = ", ".join(f"{name}={size}" for name, size in zip(slot.axes, slot.shape, strict=True))
        raise InputError(f"{path} must have shape {slot.shape} ({meaning or 'a scalar'}); got {array.shape}.")
    if not slot.support.contains(array):
        bad = array[~np.isfinite(array)] if not np.isfinite(array).all() else array[array <= 0]
        raise InputError(f"{path} {slot.support.rule}; got {float(bad.ravel()[0])}.")
    return array


def _label(axis: str, position: int, labels: Mapping[str, Sequence[Any]]) -> str:
    """Entry of an axis by its label, or by the axis and its number from 1."""
    return str(labels[axis][position]) if axis in labels else f"{axis}{position + 1}"


def leaf_names(path: str, slot: Slot, labels: Mapping[str, Sequence[Any]]) -> list[str]:
    """Names of one field's parameters, such as ``gate[1].x1``, ``expert[2].const``, ``gate.group[2][1].x2``.

    Experts are numbered from 1. ``labels`` gives the entries of the other axes, ``feature`` and ``class``.
    """
    names = []
    for owner, position in zip(leaf_owners(path, slot), np.ndindex(*slot.shape), strict=True):
        along = zip(slot.axes, position, strict=True)
        pieces = [owner, *(_label(axis, at, labels) for axis, at in along if axis != "expert")]
        names.append(".".join(pieces + ([slot.label] if slot.label else [])))
    return names


def leaf_owners(path: str, slot: Slot) -> list[str]:
    """To whom each of one field's parameters belongs: ``gate[1]``, ``expert[2]``, ``gate.group[2][1]``, ``gate``."""
    head = ""
    for name in path.split(".")[:-1]:
        head += f"[{int(name) + 1}]" if name.isdigit() else f".{name}" if head else name
    one_of_a_tuple = head.endswith("]") and slot.shape[:1] == (1,)  # a member with one expert needs no second number
    numbered = slot.axes[:1] == ("expert",) and not one_of_a_tuple
    return [f"{head}[{position[0] + 1}]" if numbered else head for position in np.ndindex(*slot.shape)]
