"""Checks of responses that must be whole numbers, or larger than zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from moestat.coordinates import Affine
from moestat.data import BlockSource
from moestat.errors import InputError
from moestat.typing import BoolArray, FloatArray


def check_counts(name: str, source: BlockSource, instead: str = "") -> None:
    """Refuse a response that is not made of whole numbers of at least 0."""
    for y, _ in raw_responses(source):
        bad = (y < 0) | (y != np.rint(y))
        if bad.any():
            raise InputError(
                f"the {name} expert needs counts, whole numbers of at least 0; y holds {_first(y, bad)}.{instead}"
            )


def check_positive(name: str, source: BlockSource) -> None:
    """Refuse a response that is not larger than zero."""
    for y, _ in raw_responses(source):
        bad = y <= 0
        if bad.any():
            raise InputError(
                f"the {name} expert needs a response larger than zero; y holds {_first(y, bad)}. "
                "Leave such rows out, or use an expert that knows them, such as gaussian."
            )


def raw_responses(source: BlockSource) -> Iterator[tuple[FloatArray, FloatArray | None]]:
    """The response in the user's units (b,), and exposures if there are any, tile after tile without padding."""
    raw = source.in_coordinates(replace(source.coordinates, y=Affine.identity(1)))
    for block in raw.blocks():
        keep = block.weight > 0
        exposure = None if block.exposure is None else block.exposure[keep]
        yield block.Y[0, keep], exposure


def _first(y: FloatArray, bad: BoolArray) -> str:
    return f"{float(y[bad][0]):.12g}"
