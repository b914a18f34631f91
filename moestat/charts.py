"""Coordinates in which the way to a limit is straight.

Some gates have a limit that no finite parameter reaches: as the temperature tau of an activation gate tends to zero,
and the differences of its slopes with it, its logits tend to a'(m'x) d_k'x + c_k. Parameters go there on a curve, each
like a power of tau, and steps that are straight in the parameters must be short to stay near it. A chart turns the
parameters by an orthogonal matrix B and divides each by its power of tau,

    psi = tau^-p (B theta),

log tau itself being one of them, of power zero. In these coordinates the way is straight: log tau falls, all others
stay. It is followed as far as digits allow, down to a least log tau.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.typing import BoolArray, FloatArray

#: A step stretches or shrinks a parameter by e to this power at most: one that asks for more is of no use, and is
#: refused where it leads, but it should not overflow on its way.
FURTHEST = 50.0


@dataclass(frozen=True, eq=False)
class Chart:
    """A turn and powers of one of the parameters.

    Parameters
    ----------
    basis : ndarray (P, P)
        B; row i is the unit vector i for every parameter that is not turned.
    powers : ndarray (P,)
        p, for each row of B.
    driver : int
        Position of log tau.
    least : float
        Smallest log tau, which stands for the limit: below it differences are lost in rounding.
    limit : str
        What the gate becomes there, in words.
    """

    basis: FloatArray
    powers: FloatArray
    driver: int = 0
    least: float = -np.inf
    limit: str = ""

    @staticmethod
    def straight(size: int) -> Chart:
        """The chart that changes nothing."""
        return Chart(np.eye(size), np.zeros(size))

    @property
    def bent(self) -> bool:
        """Whether it changes anything."""
        return bool(self.powers.any())

    @property
    def limited(self) -> bool:
        """Whether a limit is at its end."""
        return bool(np.isfinite(self.least))

    @property
    def concerns(self) -> BoolArray:
        """Parameters (P,) that are turned or divided, and so can be neither held nor kept in a box."""
        turned = (self.basis != np.eye(self.powers.size)).any(axis=0)
        divided = (self.basis[self.powers != 0] != 0).any(axis=0)
        concerned: BoolArray = turned | divided
        return concerned

    @property
    def moves(self) -> BoolArray:
        """Parameters (P,) that go along on the way to the limit."""
        along = self.concerns
        along[self.driver] = self.bent
        return along

    def embedded(self, size: int) -> Chart:
        """The same for the first of ``size`` parameters."""
        own = self.powers.size
        basis, powers = np.eye(size), np.zeros(size)
        basis[:own, :own], powers[:own] = self.basis, self.powers
        return Chart(basis, powers, self.driver, self.least, self.limit)

    def move(self, theta: FloatArray, step: FloatArray) -> FloatArray:
        """Where a step (P,) in psi leads from theta (P,)."""
        moved = theta + step
        if self.bent:
            growth = np.exp(np.clip(self.powers * step[self.driver], -FURTHEST, FURTHEST))
            there = growth * (self.basis @ theta + self._unit(theta) * step)
            moved = np.where(self.concerns, self.basis.T @ there, moved)
        return moved

    def score(self, theta: FloatArray, score: FloatArray) -> FloatArray:
        """A gradient in theta (P,) as one in psi."""
        return self._tangent(theta).T @ score if self.bent else score

    def hessian(self, theta: FloatArray, score: FloatArray, hessian: FloatArray) -> FloatArray:
        """A Hessian in theta (P, P) as one in psi; the gradient in theta counts too, as the coordinates bend."""
        if not self.bent:
            return hessian
        tangent, turned = self._tangent(theta), self.powers * (self.basis @ score)
        out: FloatArray = tangent.T @ hessian @ tangent
        mixed = turned * self._unit(theta)
        out[self.driver] += mixed
        out[:, self.driver] += mixed
        out[self.driver, self.driver] += turned @ (self.powers * (self.basis @ theta))
        return out

    def steps(self, theta: FloatArray, directions: FloatArray) -> FloatArray:
        """Directions (r, P) of theta as directions of psi."""
        if not self.bent:
            return directions
        turned = directions @ self.basis.T
        straight: FloatArray = turned - np.outer(turned[:, self.driver], self.powers * (self.basis @ theta))
        return straight / self._unit(theta)

    def directions(self, theta: FloatArray, steps: FloatArray) -> FloatArray:
        """Directions (r, P) of psi as directions of theta; the inverse of `steps`."""
        return steps @ self._tangent(theta).T if self.bent else steps

    def _unit(self, theta: FloatArray) -> FloatArray:
        """tau^p (P,)."""
        return np.asarray(np.exp(self.powers * theta[self.driver]))

    def _tangent(self, theta: FloatArray) -> FloatArray:
        """d theta / d psi, (P, P)."""
        inner = np.diag(self._unit(theta))
        inner[:, self.driver] += self.powers * (self.basis @ theta)
        out: FloatArray = self.basis.T @ inner
        return out


def contrasts(size: int) -> FloatArray:
    """Orthogonal matrix of which the last row takes the mean, the others differences (Helmert)."""
    rows = np.eye(size)
    for k in range(size - 1):
        rows[k, : k + 1] = 1.0
        rows[k, k + 1] = -(k + 1.0)
    rows[-1] = 1.0
    unit: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
