"""What a store keeps beside the rows: records, each sealed by a digest of everything that it says.

========  ==============================================================================================
`Text`    a version of the study, a cell, versions of programs; written once, in two places
`Tally`   of a cell: how many rows it has, by outcome and status, and the sum of their digests
`Entry`   a batch: the rows it brought, a digest of their digests, and the seal of the batch before it
`Timing`  of a batch: where it ran, when it ended, and the seconds of its rows; no result
`Head`    how many of each there are, the last entry's seal, and the sum of the tallies' seals
========  ==============================================================================================

A flipped bit breaks a seal. A record or a row that is missing breaks the count or the sum above it, and the head is
above all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, get_type_hints

from moestat.montecarlo.store.digests import NOTHING, digest


class Text(NamedTuple):
    """A text that is written once."""

    id: int
    kind: str
    body: str


class Tally(NamedTuple):
    """What there is of a cell; its ``id`` is that of the cell's text."""

    id: int
    rows: int
    outcomes: str
    total: bytes


class Entry(NamedTuple):
    """A batch; its ``versions`` are the ``id`` of a text, its ``keys`` the numbers of its rows in rising order."""

    id: int
    versions: int
    keys: bytes
    content: bytes
    previous: bytes


class Timing(NamedTuple):
    """What a batch took; ``seconds`` in the order of the keys of the entry of the same ``id``."""

    id: int
    host: str
    finished: float
    seconds: bytes


class Head(NamedTuple):
    """What there is in all."""

    id: int = 1
    entries: int = 0
    rows: int = 0
    texts: int = 0
    chain: bytes = NOTHING
    tallies: bytes = NOTHING


Record = TypeVar("Record", Text, Tally, Entry, Timing, Head)

TYPES: dict[type, tuple[type, ...]] = {
    record: tuple(get_type_hints(record)[field] for field in record._fields)
    for record in (Text, Tally, Entry, Timing, Head)
}


class BrokenSealError(ValueError):
    """A record is not what was written."""


def seal(record: Text | Tally | Entry | Timing | Head) -> bytes:
    """Digest of a record: of its kind and of all its fields."""
    return digest(type(record).__name__.encode(), *map(_encoded, record))


def sealed(record: Text | Tally | Entry | Timing | Head) -> tuple[Any, ...]:
    """A record as it goes into the file."""
    return (*record, seal(record))


def unsealed(kind: type[Record], values: Sequence[Any] | None) -> Record:
    """A record as it comes from the file; raises `BrokenSealError`."""
    if values is None or len(values) != len(TYPES[kind]) + 1:
        raise BrokenSealError(f"{kind.__name__.lower()}: there is none")
    try:
        record = kind(*map(_decoded, TYPES[kind], values[:-1]))
    except (TypeError, ValueError):
        raise BrokenSealError(f"{kind.__name__.lower()} {values[0]!r}: not of its type") from None
    if seal(record) != values[-1]:
        raise BrokenSealError(f"{kind.__name__.lower()} {values[0]!r}: its digest does not agree")
    return record


def _encoded(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value.hex() if isinstance(value, float) else str(value)).encode()


def _decoded(kind: type, value: Any) -> Any:
    """Texts come from the file as bytes: a damaged one need not be a text."""
    if kind is str and isinstance(value, bytes):
        return value.decode()
    if type(value) is not kind:
        raise TypeError(kind)
    return value
