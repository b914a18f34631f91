"""Sample sizes and replications, and how samples of different sizes are related."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.reading import Table, at, shown, whole

#: Samples of different sizes are drawn afresh, or the smaller are the first rows of the larger.
INDEPENDENT, NESTED = "independent", "nested"
SAMPLES = (INDEPENDENT, NESTED)

MOST_SIZES, LARGEST, MOST_REPLICATIONS = 1000, 10**9, 10**7


@dataclass(frozen=True)
class Design:
    """How much is simulated.

    Parameters
    ----------
    n : sequence of int
        Sample sizes, ascending.
    replications : int
    samples : {"independent", "nested"}
        Nested: a replication's sample of any size begins with its smaller ones (common random numbers).
    """

    n: tuple[int, ...]
    replications: int
    samples: str = INDEPENDENT

    def __post_init__(self) -> None:
        sizes = tuple(whole(size, f"n[{i}]", 1, LARGEST) for i, size in enumerate(self.n))
        if not sizes or len(sizes) > MOST_SIZES:
            raise InputError(f"n must be 1 to {MOST_SIZES} sample sizes; got {len(sizes)}.")
        if any(b <= a for a, b in pairwise(sizes)):
            raise InputError(f"n must be different sample sizes, ascending; got {shown(list(sizes))}.")
        object.__setattr__(self, "n", sizes)
        object.__setattr__(self, "replications", whole(self.replications, "replications", 1, MOST_REPLICATIONS))
        if self.samples not in SAMPLES:
            raise InputError(f"samples must be one of {list(SAMPLES)}; got {self.samples!r}.")


def geometric(low: float, high: float, points: int) -> tuple[int, ...]:
    """Sample sizes at equal ratios, rounded; those that become equal are one."""
    return _rounded(np.geomspace(low, high, points))


def linear(low: float, high: float, points: int) -> tuple[int, ...]:
    """Sample sizes at equal distances, rounded; those that become equal are one."""
    return _rounded(np.linspace(low, high, points))


def _rounded(sizes: np.ndarray[Any, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in np.unique(np.rint(sizes).astype(np.int64)))


SPACINGS = {"geometric": geometric, "linear": linear}


def read_design(table: Table) -> Design:
    """From its table in a study file."""
    sizes = table.read("n", lambda value: _read_sizes(value, table.at("n")))
    replications = table.whole("replications", least=1, most=MOST_REPLICATIONS)
    samples = table.choice("samples", SAMPLES, INDEPENDENT)
    table.done()
    with at(table.path):
        return Design(sizes, replications, samples)


def _read_sizes(value: Any, path: str) -> tuple[int, ...]:
    if isinstance(value, Mapping):
        inner = Table(value, path)
        low = inner.number("from", above=0.0, most=LARGEST)
        high = inner.number("to", above=low, most=LARGEST)
        points = inner.whole("points", least=2, most=MOST_SIZES)
        spacing = inner.choice("spacing", list(SPACINGS), "geometric")
        inner.done()
        return SPACINGS[spacing](low, high, points)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(sorted(whole(size, f"{path}[{i}]", 1, LARGEST) for i, size in enumerate(value)))
    return (whole(value, path, 1, LARGEST),)
