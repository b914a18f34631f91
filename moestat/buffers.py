"""Scratch arrays that are kept between passes."""

from __future__ import annotations

import numpy as np

from moestat.kernels import information
from moestat.typing import FloatArray


class Buffers:
    """Scratch arrays of one thread, kept between passes: fresh pages cost more than the arithmetic on them."""

    def __init__(self) -> None:
        self._arrays: dict[str, FloatArray] = {}
        self._parts: dict[int, Buffers] = {}

    def get(self, name: str, *shape: int) -> FloatArray:
        """An array of this shape with whatever it holds; zero when it is new."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape:
            array = self._arrays[name] = np.zeros(shape)
        return array

    def jacobian(self, name: str, experts: int, q: int, B: int) -> tuple[FloatArray, FloatArray]:
        """A Jacobian (experts, q, B), and the same rows one expert after the other with `PADDING` more."""
        rows = self.get(name, experts * q + information.PADDING, B)
        return rows[: experts * q].reshape(experts, q, B), rows

    def part(self, number: int) -> Buffers:
        """Arrays of one part of a whole, whose names are its own."""
        return self._parts.setdefault(number, Buffers())


class Shelf:
    """Buffers of as many threads as ask for some at the same time."""

    def __init__(self) -> None:
        self._free: list[Buffers] = []

    def take(self) -> Buffers:
        """Buffers that nobody else has until they are put back."""
        try:
            return self._free.pop()
        except IndexError:  # not asked for beforehand: another thread could take the last
            return Buffers()

    def put(self, buffers: Buffers) -> None:
        """Give back what was taken."""
        self._free.append(buffers)
