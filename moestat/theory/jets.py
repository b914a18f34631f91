"""Derivatives of one atom of a mixture, in the user's parameters, divided by the atom.

    u(x, y; theta) = exp(h(x; theta)) f(y | x; theta),      D^alpha u / u   at rows (x, y)

with the logit h and the density f of one expert, or its mean in the place of f where the regression function is what
is fitted. Dividing by u multiplies a row of the family by a number, and leaves linear relations what they are.

First and second derivatives are the components' own, exact to rounding. Third ones are derivatives of these, by
interpolation at Chebyshev points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from moestat.component import Component
from moestat.data import Block
from moestat.params import REAL, Layout
from moestat.terms import Terms
from moestat.theory.flat import chosen
from moestat.typing import FloatArray, IntArray

#: Which derivative: positions of parameters, each as often as it is differentiated; () is the atom itself.
Order = tuple[int, ...]

#: Interpolation points and reach, in the estimation space, of numerical derivatives.
POINTS, REACH = 18, 0.25


@dataclass(frozen=True)
class Jet:
    """Values (B,), first (P, B) and second (P, P, B) derivatives of a function of all P parameters on B rows."""

    value: FloatArray
    first: FloatArray
    second: FloatArray

    def moved(self, chart: tuple[FloatArray, FloatArray]) -> Jet:
        """The same in other parameters, given first (P, P) and second (P, P, P) derivatives of the old in the new."""
        slope, bend = chart
        return Jet(
            self.value,
            np.einsum("ab,ai->ib", self.first, slope),
            np.einsum("acb,ai,cj->ijb", self.second, slope, slope, optimize=True)
            + np.einsum("ab,aij->ijb", self.first, bend),
        )


@dataclass(frozen=True)
class Atom:
    """One expert of a model, as a function of parameters in the user's units, on given rows.

    Parameters
    ----------
    terms : Terms
    block : Block
    expert : int
        Which expert, from 0.
    of_mean : bool
        Whether its mean stands in the place of its density.
    """

    terms: Terms
    block: Block
    expert: int = 0
    of_mean: bool = False

    def family(self, theta: FloatArray, kept: IntArray, order: int) -> tuple[list[Order], FloatArray]:
        """Derivatives up to ``order`` in the parameters at positions ``kept``: which, and their columns (B, n).

        First derivatives come first, then the atom itself, then higher ones.
        """
        jets = self.jets(theta)
        columns = [self._columns(jets, list(map(int, kept)), min(order, 2))]
        orders = [*_choices(kept, 1), (), *(_choices(kept, 2) if order >= 2 else [])]
        if order >= 3:
            thirds = self._thirds(theta, kept)
            orders += list(thirds)
            columns += [np.stack(list(thirds.values()), axis=1)]
        return orders, np.concatenate(columns, axis=1)

    def jets(self, theta: FloatArray) -> tuple[Jet, Jet]:
        """Logit and log density (or mean), in the user's parameters."""
        chart = chart_at(self.terms.layout, theta)
        gate = _jet(_Logits(self.terms, self.expert, self.block), theta)
        expert = _jet((_Means if self.of_mean else _Densities)(self.terms, self.expert, self.block), theta)
        return gate.moved(chart), expert.moved(chart)

    def _columns(self, jets: tuple[Jet, Jet], kept: list[int], order: int) -> FloatArray:
        h, f = jets
        rows = [*(self._first(h, f, i) for i in kept), self._scale(f.value)]
        if order >= 2:
            rows += [self._second(h, f, i, j) for i, j in combinations_with_replacement(kept, 2)]
        return np.stack(rows, axis=1)

    def _scale(self, value: FloatArray) -> FloatArray:
        """The atom over its positive part: 1, or the mean."""
        return value if self.of_mean else np.ones_like(value)

    def _first(self, h: Jet, f: Jet, i: int) -> FloatArray:
        out: FloatArray = h.first[i] * self._scale(f.value) + f.first[i]
        return out

    def _second(self, h: Jet, f: Jet, i: int, j: int) -> FloatArray:
        """d2 (e^h f) / e^h; a density is an exponential itself."""
        own = f.second[i, j] if self.of_mean else f.second[i, j] + f.first[i] * f.first[j]
        gate = h.second[i, j] + h.first[i] * h.first[j]
        out: FloatArray = gate * self._scale(f.value) + h.first[i] * f.first[j] + h.first[j] * f.first[i] + own
        return out

    def _thirds(self, theta: FloatArray, kept: IntArray) -> dict[Order, FloatArray]:
        """Third derivatives: those of second ones, and what dividing by e^h (or u) leaves of them."""
        here, out = self.jets(theta), {}
        h, f = here
        of_log = h.first if self.of_mean else h.first + f.first
        for i, j, k in combinations_with_replacement(list(map(int, kept)), 3):
            if (i, j, k) in out:
                continue
            slope = self._slope_of_seconds(theta, k)
            for a, b in combinations_with_replacement([int(p) for p in kept if p <= k], 2):
                out[tuple(sorted((a, b, k)))] = slope[a, b] + self._second(h, f, a, b) * of_log[k]
        return dict(sorted(out.items()))

    def _slope_of_seconds(self, theta: FloatArray, k: int) -> FloatArray:
        """Derivative in parameter k of all second derivatives (P, P, B)."""
        natural = self.terms.layout.natural(theta)
        width = REACH / max(abs(float(chart_at(self.terms.layout, theta)[0][k, k])), 1e-300)

        def at(t: float) -> FloatArray:
            moved = natural.copy()
            moved[k] += t
            jets = self.jets(from_natural(self.terms.layout, moved))
            P = theta.size
            return np.stack([[self._second(*jets, i, j) for j in range(P)] for i in range(P)])

        return derivative(at, width)


def _choices(kept: IntArray, n: int) -> list[Order]:
    return list(combinations_with_replacement([int(p) for p in kept], n))


# --------------------------------------------------------------------------------------- charts
def from_natural(layout: Layout, natural: FloatArray) -> FloatArray:
    """Unconstrained vector of a flat vector in the user's units."""
    theta = np.empty_like(natural)
    for _, slot, start in layout.leaves():
        chunk = natural[start : start + slot.size].reshape(slot.shape)
        theta[start : start + slot.size] = slot.support.free(chunk).ravel()
    return theta


def chart_at(layout: Layout, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First (P, P) and second (P, P, P) derivatives of the unconstrained parameters in the user's."""
    slope = np.asarray(np.linalg.inv(layout.jacobian(theta)), dtype=np.float64)
    bend = np.zeros((theta.size,) * 3)
    for a in _curved(layout):
        unit = np.arange(theta.size) == a
        bend[:, :, a] = derivative(lambda t, unit=unit: layout.jacobian(theta + t * unit), REACH)  # type: ignore[misc]
    return slope, -np.einsum("ak,kbc,bi,cj->aij", slope, bend, slope, slope, optimize=True)


def _curved(layout: Layout) -> list[int]:
    """Positions of the parameters that are not used as they are: the chart is straight in all others."""
    slots = [(slot, start) for _, slot, start in layout.leaves() if slot.support.name != REAL.name]
    return [start + i for slot, start in slots for i in range(slot.size)]


def derivative(function: Callable[[float], FloatArray], width: float) -> FloatArray:
    """Derivative at zero of an analytic function of one number, by interpolation at Chebyshev points."""
    angles = (np.arange(POINTS) + 0.5) * np.pi / POINTS
    values = np.stack([function(width * float(np.cos(angle))) for angle in angles])
    orders = np.arange(POINTS)
    # of the interpolating sum of c_n T_n(t / width): T_n'(0) = n U_{n-1}(0) = n sin(n pi / 2)
    series = np.cos(orders[:, None] * angles) * (2.0 / POINTS)
    weights = (orders * np.round(np.sin(orders * np.pi / 2))) @ series
    return np.asarray(np.tensordot(weights, values, axes=1) / width)


# --------------------------------------------------------------------------------------- the two factors
class _Factor:
    """Value, first and second derivatives of a component's function for one expert, row by row."""

    def __init__(self, terms: Terms, expert: int, block: Block, component: Component, columns: IntArray) -> None:
        self.terms, self.expert, self.block, self.component = terms, expert, block, component
        self.columns = columns

    def value(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((len(local), block.weight.size))
        self.component.value(local, block, out)
        return out

    def first(self, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
        known = getattr(self.component, "known_features", False)
        out = np.empty((1 if known else len(local), local.shape[1], block.weight.size))
        self.component.jac(local, block, value, out)
        return np.asarray(out[0] if known else out[self.expert])

    def second(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray) -> FloatArray:
        """Sum over rows of weights times second derivatives, all experts' (K, q, q)."""
        out = np.zeros((*local.shape, local.shape[1]))
        self.component.curv(local, block, value, weights, out)
        return out


class _Logits(_Factor):
    def __init__(self, terms: Terms, expert: int, block: Block) -> None:
        super().__init__(terms, expert, block, terms.gate, terms.gate_columns)


class _Densities(_Factor):
    def __init__(self, terms: Terms, expert: int, block: Block) -> None:
        super().__init__(terms, expert, block, terms.expert, terms.expert_columns)


class _Means(_Densities):
    def value(self, local: FloatArray, block: Block) -> FloatArray:
        return self.terms.expert.mean(local, block)

    def first(self, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
        return np.asarray(self.terms.expert.mean_jac(local, block)[self.expert])

    def second(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray) -> FloatArray:
        out = np.zeros((*local.shape, local.shape[1]))
        self.terms.expert.mean_curv(local, block, weights, out)
        return out


def _jet(factor: _Factor, theta: FloatArray) -> Jet:
    """A factor's jet in the flat unconstrained vector."""
    columns, block, k = factor.columns, factor.block, factor.expert
    local, P, B = theta[columns], theta.size, block.weight.size
    value = factor.value(local, block)
    first, second = np.zeros((P, B)), np.zeros((P, P, B))
    np.add.at(first, columns[k], factor.first(local, block, value))
    weights = np.zeros((len(columns), 1))
    weights[k] = 1.0
    for row in range(B):
        one = chosen(block, np.array([row]))
        sums = factor.second(local, one, np.ascontiguousarray(value[:, row : row + 1]), weights)
        # sums of experts that share a row of columns may stand with any of them: all are added up by position
        np.add.at(second[:, :, row], (columns[:, :, None], columns[:, None, :]), sums)
    return Jet(value[k], first, second)
