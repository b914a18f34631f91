"""Switching ties: parameters at which a row is about to change its experts.

Where a gate switches experts off, the log-likelihood is smooth as long as every row keeps its experts, and jumps where
one changes them. On each region between the jumps it is an ordinary function, whose ascent mostly ends on the border,
at ties of single rows. Held at its ties, a maximum is one like that under linear constraints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from moestat.data import Block
from moestat.solvers.problem import Problem
from moestat.terms import Terms, Tile
from moestat.totals import Additive
from moestat.typing import FloatArray

#: Margin, in logits, at which a tie is held, and up to which a row counts as tied: rounding must not switch it.
HELD = 1e-11
TIED = 1e-10

#: Just behind a tie means by so many logits.
PAST = 1e-9

#: Newton's steps at most back to ties that are curved.
RETURNS = 6

#: Looks, at most, that find the first row to switch along a step, how narrow a share they leave, and after how many
#: guesses one halves it.
LOOKS = 100
NARROW = 1e-6
HALVE = 4


@dataclass(frozen=True, eq=False)
class Tie:
    """A row, alone in its block, that would lose expert ``on`` and get expert ``off`` (from 0; -1 for none)."""

    row: Block
    on: int
    off: int

    def __eq__(self, other: object) -> bool:
        """Whether the margins are the same function; rows with equal gate covariates may differ in the response."""
        if not isinstance(other, Tie):
            return NotImplemented
        return (self.on, self.off) == (other.on, other.off) and np.array_equal(self.row.Z, other.row.Z)

    __hash__ = None  # type: ignore[assignment]

    def margin(self, problem: Problem, theta: FloatArray) -> float:
        """By how much the row keeps its experts."""
        terms = problem.passes.terms
        return terms.gate.tie(theta[terms.gate_columns], self.row, self.on, self.off)[0]

    def holds(self, problem: Problem, theta: FloatArray) -> bool:
        """Whether the row still has the one expert, lacks the other, and is about to change."""
        terms = problem.passes.terms
        logits = np.empty((terms.n_experts, 1))
        terms.gate.value(theta[terms.gate_columns], self.row, logits)
        kept = np.isfinite(logits[:, 0])
        has, lacks = self.on < 0 or kept[self.on], self.off < 0 or not kept[self.off]
        return bool(has and lacks and self.margin(problem, theta) <= TIED)

    def normal(self, problem: Problem, theta: FloatArray) -> FloatArray:
        """Derivative (P,) of the margin: it points to where the row keeps its experts."""
        terms = problem.passes.terms
        _, slope = terms.gate.tie(theta[terms.gate_columns], self.row, self.on, self.off)
        out = np.zeros(theta.size)
        terms.scatter(terms.gate_columns, slope, out)
        return out


class TiedRows(Additive):
    """Ties at the tiles' parameters (additive)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._gate, self._local = terms.gate, theta[terms.gate_columns]
        self.ties: list[Tie] = []

    def add(self, tile: Tile) -> None:
        """Add one tile."""
        margin, _, _ = self._gate.closest(self._local, tile.block)
        for j in np.flatnonzero((margin <= TIED) & (tile.block.weight > 0)):
            row = _row(tile.block, int(j))
            self.ties += [Tie(row, on, off) for on, off in self._gate.ties(self._local, row, TIED)]


class Switched:
    """Rows that have other experts at ``theta`` than at the tiles' parameters; the first one as a tie (additive)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.gate_columns]
        self.count = 0
        self.first: Tie | None = None

    def add(self, tile: Tile) -> None:
        """Add one tile."""
        V = tile.buffers.get("other_gate", *tile.H.shape)
        self._terms.gate.value(self._local, tile.block, V)
        before, after = np.isfinite(tile.H), np.isfinite(V)
        rows = np.flatnonzero((before != after).any(axis=0) & (tile.block.weight > 0))
        self.count += rows.size
        if rows.size and self.first is None:
            j = int(rows[0])
            leaves, comes = np.flatnonzero(before[:, j] & ~after[:, j]), np.flatnonzero(after[:, j] & ~before[:, j])
            on, off = (int(found[0]) if found.size else -1 for found in (leaves, comes))
            self.first = Tie(_row(tile.block, j), on, off)

    def merge(self, later: Switched) -> None:
        """Add those of later tiles."""
        self.count += later.count
        self.first = later.first if self.first is None else self.first


def ties_at(problem: Problem, theta: FloatArray) -> list[Tie]:
    """The switching ties at a point; none where weights are continuous, or where one expert has each row."""
    terms, n = problem.passes.terms, problem.passes.terms.n_gate
    if terms.gate.continuous or not terms.gate.tells_ties:
        return []
    if len(terms.gate.invariances(terms.gate_layout, theta[:n])[0]) == n:
        return []
    return problem.passes.reduce(partial(TiedRows, terms, theta), theta).ties


def normals(problem: Problem, theta: FloatArray, ties: list[Tie]) -> FloatArray:
    """Derivatives (t, P) of the margins."""
    return np.array([tie.normal(problem, theta) for tie in ties]).reshape(len(ties), theta.size)


def pulls(problem: Problem, score: FloatArray) -> FloatArray:
    """Slope of the log-likelihood per row away from each held tie (t,), to where its row keeps its experts."""
    size = np.linalg.norm(problem.ties, axis=1)
    found: FloatArray = np.linalg.lstsq(problem.ties.T, score, rcond=None)[0] * size / problem.total_weight
    return found


def past(problem: Problem, theta: FloatArray, ties: list[Tie], which: int) -> FloatArray:
    """The nearest point behind one of the ties, where the others keep their margins."""
    margins = normals(problem, theta, ties)
    across = np.zeros(len(ties))
    across[which] = -PAST
    return problem.admit(theta + np.linalg.pinv(margins) @ across)


def crossing(problem: Problem, theta: FloatArray, ties: list[Tie], which: int) -> float:
    """By how much the log-likelihood, or the sum of squares, changes just behind one of the ties."""
    return problem.passes.told(past(problem, theta, ties, which)) - problem.passes.told(theta)


def switched(problem: Problem, theta: FloatArray, other: FloatArray) -> Switched:
    """Rows with other experts at another point; of a gate that tells no ties none."""
    terms = problem.passes.terms
    none = partial(Switched, terms, other)
    return problem.passes.reduce(none, theta) if terms.gate.tells_ties else none()


def onto(problem: Problem, theta: FloatArray, ties: list[Tie], normals: FloatArray) -> FloatArray:
    """The point next to theta that lies at these ties, whose normals (t, P) were taken nearby.

    Ties of logits that are linear in the parameters are planes, which a step along them does not leave.
    """
    for _ in range(RETURNS):
        margins = np.array([tie.margin(problem, theta) for tie in ties])
        if ((margins >= 0.0) & (margins <= TIED)).all():
            break
        theta = problem.admit(theta - np.linalg.pinv(normals) @ (margins - HELD))
    return theta


def first_switch(problem: Problem, path: Callable[[float], FloatArray]) -> tuple[float, float, Tie | None]:
    """Shares of a path that switches rows: the last found to switch none, the first to switch one, and the tie.

    Where a row is found that is tied before it switches, others may be as well: they are not told apart.
    """
    low, high, theta = 0.0, 1.0, path(0.0)
    found = switched(problem, theta, path(1.0))
    for look in range(1, LOOKS + 1):
        if found.first is None or (found.count <= 1 and high - low <= NARROW * high):
            break
        if found.first.holds(problem, path(low)):
            break
        middle = 0.5 * (low + high)
        if look % HALVE:  # margins may be bent
            middle = _near_zero(problem, path, found.first, low, high)
        if not low < middle < high:
            break
        there = switched(problem, theta, path(middle))
        if there.count:
            high, found = middle, there
        else:
            low = middle
    return low, high, found.first


def _near_zero(problem: Problem, path: Callable[[float], FloatArray], tie: Tie, low: float, high: float) -> float:
    """Just behind the zero of a margin that were straight, where no later row has switched, or else just before it."""
    before, after = (tie.margin(problem, path(share)) for share in (low, high))
    if not before > after:
        return 0.5 * (low + high)
    zero = low + (high - low) * min(max(before / (before - after), 0.0), 1.0)
    aside = 0.25 * NARROW * high
    guess = zero + aside if zero + 2.0 * aside < high else zero - aside
    return guess if low < guess < high else 0.5 * (low + high)


def _row(block: Block, j: int) -> Block:
    one = slice(j, j + 1)
    exposure = None if block.exposure is None else block.exposure[one].copy()
    X = np.ascontiguousarray(block.X[:, one])
    Z = X if block.Z is block.X else np.ascontiguousarray(block.Z[:, one])
    return Block(
        X, Z, np.ascontiguousarray(block.Y[:, one]), block.offset[one].copy(), block.weight[one].copy(), exposure
    )
