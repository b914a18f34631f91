"""What a measurement is: a plain function that gives what it found, case by case, and the figure it is held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


class NotMeasured(Exception):
    """A measurement cannot be made here; the message says why, and what would help."""


@dataclass(frozen=True)
class Bound:
    """The figure: a value is at least, or at most, so much."""

    value: float
    at_least: bool

    def met(self, value: float) -> bool:
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.value:g}"


def at_least(value: float) -> Bound:
    return Bound(value, True)


def at_most(value: float) -> Bound:
    return Bound(value, False)


@dataclass(frozen=True)
class Found:
    """The value of one case.

    Parameters
    ----------
    case : str
        Sizes and settings, such as ``"d=5, K=2"``.
    value : float
        In the measure's unit.
    note : str
        What else a reader should know: absolute times, what both programs agree on.
    """

    case: str
    value: float
    note: str = ""


@dataclass(frozen=True)
class Measure:
    """A measurement of the table.

    Parameters
    ----------
    key : str
        Short name, by which ``python -m tests.benchmarks.report KEY`` runs it.
    name : str
        What is measured, in words.
    unit : str
        Of the values: ``"times"``, ``"s"``, ``"fits/s"``, ``"%"``.
    bound : Bound or None
        The figure that every case is held to; None for what is only reported.
    run : callable
        ``run(quick)`` gives the cases as they are found; ``quick`` asks for fewer or smaller ones. It raises
        `NotMeasured` where a case cannot be had.
    """

    key: str
    name: str
    unit: str
    bound: Bound | None
    run: Callable[[bool], Iterable[Found]]
