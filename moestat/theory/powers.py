"""The power to which a loss raises the deviation of a parameter."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction

from moestat.errors import InputError
from moestat.theory.rbar import rbar


@dataclass(frozen=True)
class Power:
    """The power ``constant + system * rbar(m) + free * r`` in a cell of m atoms, r that of a family of losses.

    Parameters
    ----------
    constant, system, free : Fraction or float
        Floats are taken for the fractions that they are.
    """

    constant: Fraction | float = Fraction(0)
    system: Fraction | float = Fraction(0)
    free: Fraction | float = Fraction(0)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            try:
                object.__setattr__(self, entry.name, Fraction(value))
            except (TypeError, ValueError, OverflowError):
                raise InputError(f"{entry.name} of a power must be a finite number; got {value!r}.") from None

    def at(self, m: int, r: Fraction | float = Fraction(1)) -> Fraction:
        """Its value in a cell of m fitted atoms."""
        return Fraction(self.constant) + Fraction(self.system) * rbar(m) + Fraction(self.free) * Fraction(r)

    def __str__(self) -> str:
        terms = [(self.constant, ""), (self.system, "rbar(m)"), (self.free, "r")]
        return " + ".join(_product(Fraction(factor), of) for factor, of in terms if factor) or "0"


def _product(factor: Fraction, of: str) -> str:
    if not of:
        return str(factor)
    if factor == 1:
        return of
    return f"{of}/{1 / factor}" if factor.numerator == 1 else f"{factor} {of}"


ONE, SQUARE, FREE = Power(1), Power(2), Power(free=1)
SYSTEM, HALF = Power(system=1), Power(system=Fraction(1, 2))
