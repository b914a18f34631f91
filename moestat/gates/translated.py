"""What gates share whose weights do not change when parameters of all experts move together.

Weights are softmax(h): a number added to every logit changes none of them. Where that number may be had by
moving the same field of every expert by the same amount, the last expert's is put to zero.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from moestat.component import Gate
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray


class Translated(Gate):
    """A gate with common shifts that change no weight."""

    @abstractmethod
    def shifts(self, layout: Layout) -> dict[str, IntArray]:
        """By name, flat positions (K,) that may move together, one per expert."""

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        out = theta.copy()
        for together in self.shifts(layout).values():
            out[together] -= theta[together[-1]]
        return out

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        shifts = self.shifts(layout)
        directions = np.zeros((len(shifts), layout.size))
        for direction, together in zip(directions, shifts.values(), strict=True):
            direction[together] = 1.0
        return directions, tuple(shifts)

    def pinned(self, layout: Layout) -> IntArray:
        return np.array([together[-1] for together in self.shifts(layout).values()], dtype=np.int64)


def shifts_of(intercepts: IntArray, coefficients: IntArray, name: str) -> dict[str, IntArray]:
    """The shifts of logits that are linear: of the intercepts (K,), and of the coefficients (K, m) one by one."""
    named = {f"common shift of the gate's {name} {u}": column for u, column in enumerate(coefficients.T, start=1)}
    return {"common shift of the gate's intercepts": intercepts, **named}


def log_mass(resp: FloatArray) -> FloatArray:
    """Logits (K,) of constant weights, from weighted responsibilities; none below a thousandth of its fair share."""
    mass = resp.sum(axis=1)
    floor = 1e-3 * mass.sum() / mass.size
    logits: FloatArray = np.log(np.maximum(mass, floor) / mass.sum())
    return logits
