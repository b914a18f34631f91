"""Bounds on parameter fields: what the user states in raw units, as a box in working coordinates.

Theory assumes a compact parameter space; with ``bounds`` the estimator is the one its theorems speak of. A
bound is a box on every entry of a field (of the over-parametrised gate as well: every expert's row).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moestat.coordinates import Coordinates
from moestat.data import Schema
from moestat.errors import InputError
from moestat.model import MixtureOfExperts
from moestat.params import POSITIVE, Slot
from moestat.typing import FloatArray

#: Checked bounds: field to its lower and upper ends, in raw units.
Bounds = Mapping[str, tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Box:
    """Lower and upper ends (P,) of the unconstrained parameters in working coordinates; infinite where open."""

    lower: FloatArray
    upper: FloatArray

    @staticmethod
    def open(size: int) -> Box:
        """The box without walls."""
        return Box(np.full(size, -np.inf), np.full(size, np.inf))


def check_bounds(model: MixtureOfExperts, schema: Schema, bounds: Any) -> Bounds:
    """Bounds as (lower, upper) arrays of each field's shape, in raw units.

    Parameters
    ----------
    model : MixtureOfExperts
    schema : Schema
    bounds : mapping or None
        Dotted field names, such as ``"gate.slopes"``, to a number c (the interval from -c to c), or to a pair
        (lower, upper) of numbers, arrays of the field's shape, or None for no bound on that side.

    Returns
    -------
    dict of str to (ndarray, ndarray)

    Raises
    ------
    InputError
        For unknown or held fields, ends that exclude each other, wrong shapes, and a single number for a
        positive field.
    """
    if bounds is None:
        return {}
    if not isinstance(bounds, Mapping):
        raise InputError(f"bounds must map parameter fields to bounds, as {{'gate.slopes': 50.0}}; got {bounds!r}.")
    slots = {path: slot for path, slot, _ in model.layout(schema).leaves()}
    checked = {}
    for path, value in bounds.items():
        if path not in slots:
            raise InputError(f"bounds name the unknown field {path!r}; the model has: {', '.join(slots)}.")
        if path in (model.fixed or {}):
            raise InputError(f"bounds[{path!r}] bounds a field that the model holds fixed; leave one of the two out.")
        if not slots[path].support.elementwise:
            raise InputError(
                f"bounds[{path!r}] cannot be kept: the entries of a covariance matrix are admissible only together. "
                "Use shape='diagonal', whose variances can be bounded."
            )
        checked[path] = _ends(path, value, slots[path])
    return checked


def box_of(
    model: MixtureOfExperts,
    schema: Schema,
    coordinates: Coordinates,
    bounds: Bounds,
) -> Box:
    """The box in working coordinates; fields that are bounded must have been kept in place by `prepare`."""
    layout = model.layout(schema)
    box = Box.open(layout.size)
    slots = {path: slot for path, slot, _ in layout.leaves()}
    for path, ends in bounds.items():
        index = layout.index(path)
        for side, raw in zip((box.lower, box.upper), ends, strict=True):
            finite = np.isfinite(raw) & ~((slots[path].support is POSITIVE) & (raw == 0))
            theta = np.zeros(layout.size)
            theta[index] = slots[path].support.free(np.where(finite, raw, 1.0))
            moved = model.to_theta(layout.unpack(theta), schema, coordinates)
            side[index[finite]] = moved[index][finite]
    return box


def _ends(path: str, value: Any, slot: Slot) -> tuple[FloatArray, FloatArray]:
    positive = slot.support is POSITIVE
    if not isinstance(value, tuple | list) and np.ndim(value) == 0:
        if positive:
            raise InputError(
                f"bounds[{path!r}] must be a pair (lower, upper), because the field is positive; got {value!r}."
            )
        size = _number(path, value, slot)
        if (size <= 0).any():
            raise InputError(f"bounds[{path!r}] as one number c means -c to c and must be positive; got {value!r}.")
        return -size, size
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise InputError(f"bounds[{path!r}] must be a number or a pair (lower, upper); got {value!r}.")
    least = 0.0 if positive else -np.inf
    lower = _number(path, least if value[0] is None else value[0], slot)
    upper = _number(path, np.inf if value[1] is None else value[1], slot)
    if positive and (lower < 0).any():
        raise InputError(f"bounds[{path!r}] must not be negative, because the field is positive; got {value!r}.")
    if not (lower < upper).all():
        raise InputError(
            f"bounds[{path!r}] exclude each other: every lower end must lie below its upper end; got {value!r}. "
            "To hold a field at one value, use the model's fixed=."
        )
    return lower, upper


def _number(path: str, value: Any, slot: Slot) -> FloatArray:
    try:
        numbers = np.broadcast_to(np.asarray(value, dtype=np.float64), slot.shape)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"bounds[{path!r}] must be numbers or have shape {slot.shape}; got {value!r}.") from None
    if np.isnan(numbers).any():
        raise InputError(f"bounds[{path!r}] must not hold NaN; use None for no bound. Got {value!r}.")
    return numbers
