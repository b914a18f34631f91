"""A fitted and a true measure, as the search for their loss sees them, and what it has found in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from moestat.errors import InputError
from moestat.theory import search
from moestat.theory.entries import GateLoss, gate_loss
from moestat.theory.kinds import are_alike, check_alike
from moestat.theory.measure import VARIANCES, MixingMeasure
from moestat.theory.options import Options
from moestat.theory.rbar import PROVED_UP_TO
from moestat.theory.rules import Term, rules_of, terms_of
from moestat.theory.search import FITTED, TRUTH, Rules, Sides
from moestat.theory.summands import LossParts, Summand
from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Solved:
    """A pair with the translation and the cells where its loss is smallest."""

    pair: Pair
    value: float
    t: FloatArray
    cells: IntArray
    factor: float

    @property
    def loss(self) -> float:
        return float(scaled(np.float64(self.value), self.pair.unit))

    def parts(self) -> LossParts:
        return self.pair.summands(self)


@dataclass(frozen=True, eq=False)
class Pair:
    """Fitted and true measure of one level, with the rules of their loss; masses are in units of exp(unit)."""

    fitted: MixingMeasure
    truth: MixingMeasure
    terms: tuple[Term, ...]
    rules: Rules
    sides: Sides
    unit: float
    inner: dict[tuple[int, int], Solved]

    @staticmethod
    def of(fitted: MixingMeasure, truth: MixingMeasure, options: Options, above: tuple[GateLoss, ...] = ()) -> Pair:
        """Of two measures under these gates of groups."""
        check_alike(fitted, truth)
        entry = gate_loss(truth.gate)
        terms = terms_of(truth, fitted.size, entry, options, above)
        rules = rules_of(truth, terms, entry, options)
        masses, true_masses, unit = masses_of(fitted.log_masses, truth.log_masses, options.mass)
        inner = _inner(fitted, truth, options, (*above, entry))
        extra = np.zeros((fitted.size, truth.size))
        for (i, j), solved in inner.items():
            extra[i, j] = solved.loss
        atoms, true_atoms, apart = numbers_of(fitted, truth, options.scale)
        if truth.inner:
            apart = apart + _unlike_groups(fitted, truth, inner, extra)
        return Pair(
            fitted, truth, terms, rules, Sides(atoms, true_atoms, masses, true_masses, extra, apart), float(unit), inner
        )

    def solve(self) -> Solved:
        return Solved(self, *search.infimum(self.rules, self.sides))

    # ------------------------------------------------------------------------------- summands
    def summands(self, at: Solved) -> LossParts:
        sides, cells = self.sides, at.cells
        J = self.truth.size
        sizes, fitted_mass = np.bincount(cells, minlength=J), np.bincount(cells, sides.masses, J).astype(np.float64)
        moved = at.factor if self.rules.translation == FITTED else 1.0
        true_mass = sides.true_masses * (at.factor if self.rules.translation == TRUTH else 1.0)
        apart = sides.atoms - sides.truth[cells]
        apart[:, self.rules.shift] -= at.t
        found = [Summand("masses", False, scaled(np.abs(moved * fitted_mass - true_mass), self.unit))]
        for t, term in enumerate(self.terms):
            used = (sizes[cells] > 1) == term.over
            length = np.linalg.norm(apart[:, self._columns(t)], axis=1)
            power = term.power[sizes[cells] - 1, cells]
            each = np.where(used, moved * sides.masses * length**power, 0.0)
            found.append(Summand(" + ".join(term.names), term.over, scaled(np.bincount(cells, each, J), self.unit)))
        found += self._merged_summands(at, sizes, fitted_mass, moved)
        if self.inner:
            each = moved * sides.masses * sides.extra[np.arange(cells.size), cells]
            found.append(Summand("within groups", False, scaled(np.bincount(cells, each, J), self.unit)))
        errors = {c.name: np.linalg.norm(apart[:, c.columns], axis=1) for c in self.truth.coordinates}
        within = {(i, j): self.inner[i, j].parts() for i, j in enumerate(cells) if (i, j) in self.inner}
        with np.errstate(divide="ignore"):
            t0 = float(np.log(at.factor))
        log_loss = float(np.log(at.value) + self.unit) if at.value > 0 else -np.inf
        grows = any(np.ptp(term.power[1:], axis=0).any() for term in self.terms if term.over and len(term.power) > 1)
        conjectured = bool(grows and sizes.max() > PROVED_UP_TO)
        return LossParts(
            loss=at.loss,
            log_loss=log_loss,
            summands=tuple(found),
            cells=cells,
            t0=t0,
            t1=at.t,
            errors=errors,
            n_active=self.rules.n_active,
            within=within,
            conjectured=conjectured,
        )

    def _columns(self, t: int) -> IntArray:
        moving = self.rules.shift[self.rules.moving[t]]
        return np.concatenate([np.flatnonzero(self.rules.still[t]), moving])

    def _merged_summands(self, at: Solved, sizes: IntArray, mass: FloatArray, moved: float) -> list[Summand]:
        if not len(self.rules.merged_still):
            return []
        total = np.zeros(self.truth.size)
        for j in np.flatnonzero((sizes > 1) & (mass > 0)):
            own = search.merged(self.rules.corrections, self.sides.atoms, self.sides.masses, at.cells, int(j), mass[j])
            apart = own - self.sides.truth[j]
            apart[self.rules.shift] -= at.t
            for still, moving in zip(self.rules.merged_still, self.rules.merged_moving, strict=True):
                columns = np.concatenate([np.flatnonzero(still), self.rules.shift[moving]])
                total[j] += mass[j] * np.linalg.norm(apart[columns])
        return [Summand("merged atoms", True, scaled(moved * total, self.unit))]


def masses_of(logs: FloatArray, truth: FloatArray, mass: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Masses (..., K) and the truth's beside them (..., J) without overflow, and the logarithm of their unit (...,)."""
    if mass == "matched":
        unit = np.full(logs.shape[:-1], logsumexp(truth))
        masses = np.exp(logs - logsumexp(logs, axis=-1, keepdims=True))
    else:
        unit = np.maximum(logs.max(axis=-1), truth.max())
        masses = np.exp(logs - unit[..., None])
    return masses, np.exp(truth - unit[..., None]), unit


def numbers_of(fitted: MixingMeasure, truth: MixingMeasure, scale: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Atoms with the scale asked for, and infinities (K, J) between those of different families."""
    pair = []
    for one in (fitted, truth):
        atoms = one.atoms.copy()
        for coordinate in one.coordinates:
            if scale == "sd" and coordinate.field in VARIANCES:
                atoms[:, coordinate.columns] = np.sqrt(atoms[:, coordinate.columns])
        pair.append(atoms)
    missing = [np.isnan(atoms) for atoms in pair]
    unlike = (missing[0][:, None] != missing[1][None]).any(axis=2)
    if unlike.all(axis=1).any():
        raise InputError("a fitted expert is of a family that the truth has none of, so that no cell can take it.")
    return np.nan_to_num(pair[0]), np.nan_to_num(pair[1]), np.where(unlike, np.inf, 0.0)


def scaled(values: Any, unit: Any) -> FloatArray:
    """Values times exp(unit): infinite where that overflows, but of nothing."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.where(values == 0, 0.0, values * np.exp(unit)))


# --------------------------------------------------------------------------------------- hierarchies
def _inner(
    fitted: MixingMeasure, truth: MixingMeasure, options: Options, above: tuple[GateLoss, ...]
) -> dict[tuple[int, int], Solved]:
    """The losses between the measures of all groups of like structure."""
    return {
        (i, j): Pair.of(own, true, options, above).solve()
        for i, own in enumerate(fitted.inner)
        for j, true in enumerate(truth.inner)
        if are_alike(own, true)
    }


def _unlike_groups(
    fitted: MixingMeasure, truth: MixingMeasure, inner: Mapping[tuple[int, int], Solved], extra: FloatArray
) -> FloatArray:
    """What keeps groups (K, J) out of cells: another structure; without coordinates, another place or a larger loss."""
    apart = np.full((fitted.size, truth.size), np.inf)
    for pair in inner:
        apart[pair] = 0.0
    if not truth.coordinates:
        given = getattr(truth.gate, "weights", None) is not None
        if given and fitted.size != truth.size:
            raise InputError(
                f"groups of given weights must be as many as the truth's, {truth.size}; got {fitted.size}."
            )
        apart += np.where(np.eye(fitted.size, truth.size) == 1, 0.0, np.inf) if given else extra
    if np.isinf(apart).all(axis=1).any():
        raise InputError("a fitted group has experts or a gate that no group of the truth has; fit the true structure.")
    return apart
