"""Records of a damaged SQLite file, read from its pages one by one without any of the structure between them.

A table's rows lie in leaf pages (SQLite file format 3, sections 1.5, 1.6 and 2.1): behind a header of eight bytes come
the places of the cells, and a cell holds the length of its record, its number, and the record, which goes on in other
pages where it is long. Every page is tried as if it were a leaf. Most of what is found where none is makes no sense,
and what makes sense is believed only if it bears its digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from struct import error as StructError
from struct import unpack_from
from typing import Any

from moestat.montecarlo.store.schema import PAGE_SIZE

#: What reading at a wrong place can raise.
NONSENSE = (IndexError, ValueError, StructError, OverflowError)

#: Bytes of whole numbers by their serial type.
WIDTHS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class Pages:
    """The pages of a file.

    Parameters
    ----------
    data : bytes-like
        The whole file.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self._size = len(data)

    def places(self) -> Iterator[int]:
        """Where in the file a cell may begin."""
        for page in range(0, self._size - PAGE_SIZE + 1, PAGE_SIZE):
            start = page + (100 if page == 0 else 0)
            count = min(unpack_from(">H", self._data, start + 3)[0], (PAGE_SIZE - 8) // 2 - 50)
            for place in unpack_from(f">{count}H", self._data, start + 8):
                if 0 < place < PAGE_SIZE:
                    yield page + place

    def record(self, place: int) -> Sequence[Any] | None:
        """The values of the record whose cell begins at a place; None where there is none."""
        with suppress(*NONSENSE):
            length, at = self._varint(place)
            number, at = self._varint(at)
            if 0 < length < self._size:
                values = _values(self._payload(at, length))
                return (number, *values[1:]) if values and values[0] is None else None
        return None

    def _varint(self, at: int) -> tuple[int, int]:
        return _varint(self._data, at)

    def _payload(self, at: int, length: int) -> bytes:
        """The bytes of a record; those that do not fit into the page lie in a chain of others."""
        most, least = PAGE_SIZE - 35, (PAGE_SIZE - 12) * 32 // 255 - 23
        if length <= most:
            return bytes(self._data[at : at + length])
        local = least + (length - least) % (PAGE_SIZE - 4)
        local = local if local <= most else least
        parts, left = [bytes(self._data[at : at + local])], length - local
        (page,) = unpack_from(">I", self._data, at + local)
        while left > 0:
            if page == 0:
                raise ValueError("the chain ends early")
            start = (page - 1) * PAGE_SIZE
            (page,) = unpack_from(">I", self._data, start)
            parts.append(bytes(self._data[start + 4 : start + min(PAGE_SIZE, left + 4)]))
            left -= PAGE_SIZE - 4
        return b"".join(parts)


def _varint(data: Any, at: int) -> tuple[int, int]:
    """A whole number of one to nine bytes, and where it ends."""
    value = 0
    for i in range(8):
        byte = data[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | data[at + 8], at + 9


def _values(payload: bytes) -> list[Any]:
    """The values of a record; texts as bytes."""
    end, at = _varint(payload, 0)
    place, values = end, []
    while at < end:
        kind, at = _varint(payload, at)
        width = _width(kind)
        value = payload[place : place + width]
        if len(value) != width:
            raise ValueError("the record ends early")
        values.append(_value(kind, value))
        place += width
    return values


def _width(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == 7 else WIDTHS.get(kind, 0)


def _value(kind: int, value: bytes) -> Any:
    if kind >= 12:
        return value
    if kind in (0, 10, 11):
        return None
    if kind in (8, 9):
        return kind - 8
    return unpack_from(">d", value)[0] if kind == 7 else int.from_bytes(value, "big", signed=True)
