"""Linear relations among the columns of a matrix, in a form that can be read.

Columns are taken in their order. One that is a combination of earlier independent ones gives a relation, with as few
terms as that combination has: first derivatives before second ones, so that d2/db2 = 2 d/dnu and not the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement, product
from math import comb, prod

import numpy as np

from moestat.theory.jets import Order
from moestat.typing import FloatArray

#: Share of a column's length that must be left beyond the earlier ones for it to count as independent.
INDEPENDENT = 1e-9

#: A column shorter than this share of the longest is zero.
ROUNDING = 1e-13

#: Coefficients, of columns of length one, below this are zero.
NEGLIGIBLE = 1e-7

#: What may be left of a column of length one that is a combination of others.
EXACT = 1e-12

#: Agreement of a coefficient with an expression in the parameters.
RECOGNISED = 1e-8

#: Numbers that coefficients are multiples of.
FACTORS = tuple(Fraction(n, d) for n, d in ((1, 1), (2, 1), (1, 2), (3, 1), (4, 1), (3, 2), (1, 3), (6, 1)))

#: By how many orders derivatives that combine to a relation may exceed it, and how many of them may be looked at.
HIGHER, MOST_MONOMIALS = (1, 2), 300

#: Powers of a parameter in a coefficient.
POWERS = (-2, -1, 1, 2)


@dataclass(frozen=True)
class Coefficient:
    """A number times powers of parameters, (position, power) each."""

    factor: Fraction
    powers: tuple[tuple[int, int], ...] = ()

    def at(self, natural: FloatArray) -> float:
        """Its value."""
        return float(self.factor) * prod(float(natural[i]) ** power for i, power in self.powers)

    def derivative(self, position: int) -> Coefficient:
        """In one parameter."""
        power = dict(self.powers).get(position, 0)
        lowered = tuple((i, p - (i == position)) for i, p in self.powers if p != 1 or i != position)
        return Coefficient(self.factor * power, lowered if power else ())

    def text(self, names: Sequence[str]) -> str:
        """As it is printed: ``-a / (2 b^2)``."""
        above = [_power(names[i], p) for i, p in self.powers if p > 0]
        below = [_power(names[i], -p) for i, p in self.powers if p < 0]
        size = abs(self.factor)
        above = ([str(size.numerator)] if size.numerator > 1 or not above else []) + above
        below = ([str(size.denominator)] if size.denominator > 1 else []) + below
        text = " ".join(above)
        if below:
            text += f" / {below[0]}" if len(below) == 1 else f" / ({' '.join(below)})"
        return f"-{text}" if self.factor < 0 else text


def _power(name: str, power: int) -> str:
    return name if power == 1 else f"{name}^{power}"


#: A relation with known coefficients: which derivative, times what; they sum to zero.
Symbolic = list[tuple[Order, Coefficient]]


@dataclass(frozen=True)
class Relation:
    """``leading`` = the sum of ``terms``, as derivatives of one function.

    Parameters
    ----------
    leading : tuple of int
        The dependent derivative, as positions of parameters.
    terms : mapping of tuple to float
        Independent derivatives and their coefficients.
    """

    leading: Order
    terms: Mapping[Order, float]

    @property
    def vector(self) -> dict[Order, float]:
        """Coefficients of a combination that vanishes."""
        return {self.leading: 1.0, **{order: -c for order, c in self.terms.items()}}


@dataclass(frozen=True)
class Dependence:
    """What `relations` found.

    Parameters
    ----------
    relations : tuple of Relation
    rank, size : int
        Of the family of columns.
    kept, lost : float
        What was left of the independent column with least beyond the earlier ones, and of the dependent one with most,
        as shares of their lengths: the gap between them is the evidence.
    """

    relations: tuple[Relation, ...]
    rank: int
    size: int
    kept: float
    lost: float


def relations(orders: Sequence[Order], columns: FloatArray) -> Dependence:
    """Linear relations among columns (B, n), found in their order."""
    lengths = np.linalg.norm(columns, axis=0)
    none = lengths <= ROUNDING * lengths.max(initial=0.0)
    unit = np.where(none, 0.0, columns / np.where(none, 1.0, lengths))
    basis, independent, found = np.zeros((len(columns), 0)), [], []
    kept, lost = 1.0, 0.0
    for n in range(len(orders)):
        rest = unit[:, n]
        for _ in range(2):  # once more: what rounding left of the first
            rest = rest - basis @ (basis.T @ rest)
        left = float(np.linalg.norm(rest))
        if left > INDEPENDENT:
            kept = min(kept, left)
            independent.append(n)
            basis = np.column_stack([basis, rest / left])
            continue
        lost = max(lost, left)
        support, sizes = _sparse(unit[:, independent], unit[:, n])
        terms = {
            orders[independent[s]]: float(c * lengths[n] / lengths[independent[s]])
            for s, c in zip(support, sizes, strict=True)
        }
        found.append(Relation(orders[n], terms))
    return Dependence(tuple(found), len(independent), len(orders), kept, lost)


def _sparse(basis: FloatArray, column: FloatArray) -> tuple[list[int], FloatArray]:
    """A column by the basis columns that it needs, and their coefficients."""
    sizes = _coefficients(basis, column)
    support = [int(s) for s in np.argsort(np.abs(sizes)) if abs(sizes[s]) > NEGLIGIBLE]
    for s in tuple(support):  # a nearly dependent basis takes in more than is needed
        fewer = [t for t in support if t != s]
        if np.linalg.norm(column - basis[:, fewer] @ _coefficients(basis[:, fewer], column)) < EXACT:
            support = fewer
    support.sort()
    return support, _coefficients(basis[:, support], column)


def _coefficients(basis: FloatArray, column: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.lstsq(basis, column, rcond=None)[0]) if basis.shape[1] else np.zeros(0)


def residual(relation: Relation, orders: Sequence[Order], columns: FloatArray) -> float:
    """Largest deviation of a relation on these rows, as a share of its largest term.

    That of a derivative that vanishes is a share of the largest of all.
    """
    at = {order: n for n, order in enumerate(orders)}
    parts = np.stack([c * columns[:, at[order]] for order, c in relation.vector.items()])
    size = float(np.abs(parts if relation.terms else columns).max(initial=0.0))
    return float(np.abs(parts.sum(axis=0)).max(initial=0.0)) / size if size else 0.0


# --------------------------------------------------------------------------------------- consequences
def essential(found: Sequence[Relation], symbolic: Sequence[Symbolic | None], natural: FloatArray) -> list[bool]:
    """Which relations do not follow from those before them.

    Derivatives of a relation that holds at all parameters are relations too, and combinations of these may be of lower
    order than each. A parameter whose first derivative depends on others makes all its further derivatives dependent.

    Parameters
    ----------
    found : sequence of Relation
    symbolic : sequence
        Each with its coefficients as functions of the parameters, where these are known.
    natural : ndarray (P,)
        The parameters in the user's units.
    """
    redundant = {r.leading[0] for r in found if len(r.leading) == 1}
    symbols = sorted({i for r in found for order in r.vector for i in order})
    out: list[bool] = []
    generators: list[Symbolic] = []
    for relation, known in zip(found, symbolic, strict=True):
        of_redundant = len(relation.leading) > 1 and bool(redundant & set(relation.leading))
        new = not of_redundant and not _follows(relation, generators, symbols, natural)
        out.append(new)
        if new and known is not None:
            generators.append(known)
    return out


def _follows(relation: Relation, generators: Sequence[Symbolic], symbols: Sequence[int], natural: FloatArray) -> bool:
    """Whether a relation is a combination of the generators and of their derivatives, of higher order than its own."""
    own = max(map(len, relation.vector))
    few = [n for n in HIGHER if comb(len(symbols) + own + n, own + n) <= MOST_MONOMIALS or n == HIGHER[0]]
    return bool(generators) and any(_spanned(relation, generators, symbols, natural, own + n) for n in few)


def _spanned(
    relation: Relation, generators: Sequence[Symbolic], symbols: Sequence[int], natural: FloatArray, highest: int
) -> bool:
    """Whether a relation is a combination of derivatives of the generators up to an order."""
    rows = [
        _evaluated(_derived(g, by), natural)
        for g in generators
        for n in range(highest - max(len(order) for order, _ in g) + 1)
        for by in combinations_with_replacement(symbols, n)
    ]
    monomials = sorted({order for row in (*rows, relation.vector) for order in row})
    matrix = np.array([[row.get(order, 0.0) for order in monomials] for row in rows])
    target = np.array([relation.vector.get(order, 0.0) for order in monomials])
    combination = np.linalg.lstsq(matrix.T, target, rcond=None)[0]
    return bool(np.abs(matrix.T @ combination - target).max() < RECOGNISED * max(1.0, float(np.abs(target).max())))


def _derived(relation: Symbolic, by: Sequence[int]) -> Symbolic:
    """The relation differentiated in the parameters ``by``, by the product rule."""
    for i in by:
        raised = [(tuple(sorted((*order, i))), c) for order, c in relation]
        relation = raised + [(order, c.derivative(i)) for order, c in relation if i in dict(c.powers)]
    return relation


def _evaluated(relation: Symbolic, natural: FloatArray) -> dict[Order, float]:
    out: dict[Order, float] = {}
    for order, coefficient in relation:
        out[order] = out.get(order, 0.0) + coefficient.at(natural)
    return out


# --------------------------------------------------------------------------------------- coefficients as expressions
def symbolic(relation: Relation, twin: Relation | None, points: Sequence[FloatArray]) -> Symbolic | None:
    """A relation with its coefficients as functions of the parameters, if both it and one elsewhere agree with them."""
    if twin is None or twin.terms.keys() != relation.terms.keys():
        return None
    out: Symbolic = [(relation.leading, Coefficient(Fraction(1)))]
    for order, c in relation.terms.items():
        known = recognise([-c, -twin.terms[order]], points)
        if known is None:
            return None
        out.append((order, known))
    return out


def recognise(values: Sequence[float], points: Sequence[FloatArray]) -> Coefficient | None:
    """A coefficient as an expression of the parameters that gives its value at each of several points.

    Tried are numbers such as 2 and 1/2, times at most two parameters in powers between -2 and 2; ``None`` when none of
    them agrees everywhere.
    """
    positions = [i for i in range(len(points[0])) if all(point[i] != 0.0 for point in points)]
    for powers in _powers(positions):
        sizes = [prod(float(point[i]) ** power for i, power in powers) for point in points]
        factor = values[0] / sizes[0]
        if all(abs(v - factor * size) <= RECOGNISED * abs(v) for v, size in zip(values, sizes, strict=True)):
            known = next((f for f in FACTORS if abs(abs(factor) - float(f)) <= RECOGNISED * float(f)), None)
            if known is not None:
                return Coefficient(known if factor > 0 else -known, powers)
    return None


def _powers(positions: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
    alone = [((i, power),) for power in sorted(POWERS, key=abs) for i in positions]
    pairs = [((i, p), (j, q)) for i in positions for j in positions if i < j for p, q in product(POWERS, POWERS)]
    return [(), *alone, *pairs]
