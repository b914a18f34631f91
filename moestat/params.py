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
from scipy.linalg import block_diag

from moestat.errors import InputError
from moestat.typing import BoolArray, FloatArray, IntArray

T = TypeVar("T")

#: Logarithms of the smallest and the largest positive number.
LOG_SMALLEST, LOG_LARGEST = -708.0, 709.0


# --------------------------------------------------------------------------------------- supports
def _same(x: FloatArray) -> FloatArray:
    return x


def _nothing_more(x: FloatArray) -> bool:
    return True


def _same_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape


def _nowhere(shape: tuple[int, ...]) -> BoolArray:
    return np.zeros(shape, dtype=bool)


def _everywhere(shape: tuple[int, ...]) -> BoolArray:
    return np.ones(shape, dtype=bool)


@dataclass(frozen=True)
class Support:
    """Set of values a field may take, with its map to the whole real line.

    Parameters
    ----------
    name : str
    free, natural : callable
        From reported entries to unconstrained numbers and back, arrays of one shape.
    slope : callable
        d natural / d free as a function of the reported entries: of their shape, or with one more axis at the end
        when the entries of the last axis depend on each other.
    contains : callable
        Whether reported entries are admissible.
    rule : str
    record, entries : callable
        From reported entries to what a record holds, and back (a matrix and its distinct entries).
    fits : callable
        Whether what a record holds has such entries at all (a matrix is symmetric).
    record_shape : callable
        Shape of what a record holds, from that of the entries.
    positive : callable
        Which entries are positive by definition, for a shape.
    """

    name: str
    free: Callable[[FloatArray], FloatArray]
    natural: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    contains: Callable[[FloatArray], bool]
    rule: str
    record: Callable[[FloatArray], FloatArray] = _same
    entries: Callable[[FloatArray], FloatArray] = _same
    fits: Callable[[FloatArray], bool] = _nothing_more
    record_shape: Callable[[tuple[int, ...]], tuple[int, ...]] = _same_shape
    positive: Callable[[tuple[int, ...]], BoolArray] = _nowhere

    @property
    def elementwise(self) -> bool:
        """Whether the entries are admissible one by one."""
        return self.entries is _same


def _all_finite(x: FloatArray) -> bool:
    return bool(np.isfinite(x).all())


def _all_positive(x: FloatArray) -> bool:
    return _all_finite(x) and bool((x > 0).all())


REAL = Support("real", _same, _same, np.ones_like, _all_finite, "must be finite")


def _exp(x: FloatArray) -> FloatArray:
    """exp(x), within the range of double precision: on its way to infinity a parameter stays a number."""
    return np.exp(x if np.iscomplexobj(x) else np.clip(x, LOG_SMALLEST, LOG_LARGEST))


POSITIVE = Support(
    "positive", np.log, _exp, _same, _all_positive, "must be finite and larger than zero", positive=_everywhere
)


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

    @property
    def record_shape(self) -> tuple[int, ...]:
        """Shape of the record's array."""
        return self.support.record_shape(self.shape)

    def natural(self, free: FloatArray) -> FloatArray:
        """Reported entries, in the slot's shape, of the slot's part of a flat vector."""
        return self.support.natural(free.reshape(self.shape))

    def record(self, free: FloatArray) -> FloatArray:
        """What the record holds, of the slot's part of a flat vector."""
        return self.support.record(self.natural(free))

    def jacobian(self, free: FloatArray) -> FloatArray:
        """d natural / d free (size, size)."""
        slope = self.support.slope(self.natural(free))
        if slope.ndim == len(self.shape):
            return np.diag(slope.ravel())
        return block_diag(*slope.reshape(-1, *slope.shape[-2:]))


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
                pieces.append(entry.support.free(_checked_entries(f"{prefix}{name}", value, entry)).ravel())
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
                values[name] = entry.record(chunk)
            offset += entry.size
        return self.build(**values)

    def natural(self, theta: FloatArray) -> FloatArray:
        """Flat vector in the user's units (variances, not their logs)."""
        out = np.empty_like(theta)
        for _, slot, start in self.leaves():
            out[start : start + slot.size] = slot.natural(theta[start : start + slot.size]).ravel()
        return out

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """d natural / d unconstrained (P, P)."""
        out = np.zeros((theta.size, theta.size))
        for _, slot, start in self.leaves():
            part = slice(start, start + slot.size)
            out[part, part] = slot.jacobian(theta[part])
        return out

    @cached_property
    def positive(self) -> BoolArray:
        """Which parameters are positive by definition (P,)."""
        flags = [slot.support.positive(slot.shape).ravel() for _, slot, _ in self.leaves()]
        return np.concatenate([np.zeros(0, dtype=bool), *flags])

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

    def enlarge(self, theta: FloatArray, larger: Layout, copied: IntArray) -> FloatArray:
        """The vector of a larger layout: entry ``j`` of every expert axis is the entry ``copied[j]`` of this one."""
        out = np.empty(larger.size)
        for (_, slot, start), (_, target, at) in zip(self.leaves(), larger.leaves(), strict=True):
            values = theta[start : start + slot.size].reshape(slot.shape)
            own = slot.axes[:1] == ("expert",)
            out[at : at + target.size] = (values[copied] if own else values).ravel()
        return out


def slot_of(sizes: Mapping[str, int], *axes: str, support: Support = REAL, label: str | None = None) -> Slot:
    """Slot over named axes, given the length of each."""
    return Slot(axes, tuple(sizes[name] for name in axes), support, label)


def layout_of(record: type, sizes: Mapping[str, int], **parts: Layout | Slot) -> Layout:
    """Layout of a record class, given the length of each axis and the layouts of its nested records.

    A field whose axes depend on settings is a part too, and is given its slot.
    """
    entries: list[tuple[str, Slot | Layout]] = []
    for f in dataclasses.fields(record):
        if f.name in parts:
            entries.append((f.name, parts[f.name]))
        else:
            about = f.metadata
            entries.append((f.name, slot_of(sizes, *about["axes"], support=about["support"], label=about["label"])))
    return Layout(record, tuple(entries))


def own_columns(*indices: IntArray) -> IntArray:
    """Stack index arrays (K, ...) into ``columns`` (K, q): the local parameters of each expert, side by side."""
    n_experts = indices[0].shape[0]
    return np.concatenate([index.reshape(n_experts, -1) for index in indices], axis=1)


def n_products(n_features: int) -> int:
    """Length of the axis ``product``: pairs of features u >= v, in the order (1,1), (2,1), (2,2), (3,1), ..."""
    return n_features * (n_features + 1) // 2


def n_multiplied(products: int) -> int:
    """Number of features with so many products; the inverse of `n_products`, rounded down."""
    return (isqrt(8 * products + 1) - 1) // 2


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


def _checked_entries(path: str, value: Any, slot: Slot) -> FloatArray:
    """The reported entries of what a record holds, shape and support checked."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape != slot.record_shape:
        meaning = ", ".join(f"{name}={size}" for name, size in zip(slot.axes, slot.shape, strict=True))
        raise InputError(f"{path} must have shape {slot.record_shape} ({meaning or 'a scalar'}); got {array.shape}.")
    entries = slot.support.entries(array)
    if slot.support.fits(array) and slot.support.contains(entries):
        return entries
    if not slot.support.elementwise:
        raise InputError(f"{path} {slot.support.rule}; got {array.tolist()}.")
    bad = array[~np.isfinite(array)] if not np.isfinite(array).all() else array[array <= 0]
    raise InputError(f"{path} {slot.support.rule}; got {float(bad.ravel()[0])}.")


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
    at = slot.axes.index("expert") if "expert" in slot.axes and not one_of_a_tuple else None
    return [head if at is None else f"{head}[{position[at] + 1}]" for position in np.ndindex(*slot.shape)]


def product_names(names: Sequence[str]) -> list[str]:
    """Entries of the axis ``product`` in words: ``x1^2``, ``x1:x2``, ``x2^2``, ``x1:x3``, ..."""
    return [f"{a}^2" if i == j else f"{b}:{a}" for i, a in enumerate(names) for j, b in enumerate(names[: i + 1])]


def covariance_names(names: Sequence[str]) -> list[str]:
    """Distinct entries of a covariance matrix, ``y1.variance`` and ``y1:y2.covariance``, in the same order."""
    return [
        f"{a}.variance" if i == j else f"{b}:{a}.covariance"
        for i, a in enumerate(names)
        for j, b in enumerate(names[: i + 1])
    ]
