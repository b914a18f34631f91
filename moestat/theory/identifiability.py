"""Exactly flat directions of a model at given parameters, and why they are flat.

Two parameter vectors with one density cannot be told apart by any number of rows. Some such pairs are harmless, as a
common shift of a softmax gate's intercepts. Others are not:

    a temperature round a gate that is homogeneous in its parameters      (c beta, c tau) has the same weights
    experts that coincide                                                 mass moves freely between them
    experts without mass                                                  their parameters may be anything
    K >= 2 K* with linear logits      every atom split into slopes b + d and b - d: the factor cosh(d'x) cancels
    constant experts of a class law                                       a mixture of constant laws is one

Nothing of this is looked up. Directions come from the scores on random rows, each is followed for a finite way, and
its reason is read off what weights and expert densities did on the way: that works for gates that were never seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np

from moestat.data import Block
from moestat.directions import readable
from moestat.errors import InputError
from moestat.model import MixtureOfExperts, MoEParams
from moestat.terms import Terms
from moestat.theory.flat import BETWEEN, SAME, Curve, Derivatives, Rows, beyond, difference, follow, null_space, within
from moestat.theory.switches import beside_switches
from moestat.typing import BoolArray, FloatArray, IntArray

#: Change of a weight or of a log density below which it is none: what coincides parts by the root of a rounding error.
STILL = 1e-5

#: Weight below which an expert has no mass.
NO_MASS = 1e-12

#: Experts whose log densities differ by less than this on all rows coincide.
EQUAL = 1e-8

#: Random combinations tried where single directions do not extend, and size of what is added to break symmetry.
TRIES, NUDGE = 6, 0.05

#: Share of the length that is tried where the whole is too far.
SHORTER = 0.1

#: Share of the largest movement beyond which a parameter counts as moved.
MOVED = 1e-6

#: Standard deviation of the covariates on which densities are compared, when none are given.
SPREAD = 1.5


@dataclass(frozen=True, eq=False)
class FlatDirection:
    """A curve of equal densities; prints as its reason.

    Parameters
    ----------
    words : str
        Why the density stays.
    kind : str
        ``"gate"``, ``"no mass"``, ``"coincide"``, ``"ridge"``, ``"constant"`` or ``"other"``.
    direction : ndarray (P,)
        Its first direction in the estimation space, of length one.
    params : MoEParams
        Parameters at its other end.
    moved : tuple of str
        Names of what differs there.
    difference : float
        Largest difference of the densities there and on the way, as a share of the largest density.
    """

    words: str
    kind: str
    direction: FloatArray = field(repr=False)
    params: MoEParams = field(repr=False)
    moved: tuple[str, ...]
    difference: float

    def __str__(self) -> str:
        return f"{self.words} (density equal to {self.difference:.0e})"


def flat_directions(
    model: MixtureOfExperts,
    params: MoEParams,
    X: Any = None,
    Z: Any = None,
    *,
    length: float = 0.5,
    n_rows: int = 120,
    seed: int = 0,
) -> tuple[FlatDirection, ...]:
    """Directions in which the density does not change, with their reasons.

    Parameters
    ----------
    model : MixtureOfExperts
    params : MoEParams
    X, Z : array-like (n, d), optional
        Covariates on which densities are compared. When left out random ones, so that the answer is about all of them,
        and of gates that switch experts off others close to both sides of their switches, which random ones step over.
    length : float
        How far each is followed in the estimation space, where variances and temperatures are logarithms.
    n_rows : int
        Rows on which densities are compared.
    seed : int

    Returns
    -------
    tuple of FlatDirection
        Empty where the parameters are locally identified.

    Notes
    -----
    Of gates whose weights jump, as those of top-1 gates, first derivatives do not see the switches. Common shifts and
    scales of their parameters are found; curves that keep several switches in place and are neither may be missed.

    Examples
    --------
    >>> import moestat as ms
    >>> model = ms.MixtureOfExperts(gate="softmax", expert="gaussian", n_experts=2)
    >>> params = model.params(
    ...     gate=dict(intercepts=[0.0, 0.0], slopes=[[1.0], [0.0]]),
    ...     expert=dict(intercepts=[0.0, 1.0], slopes=[[1.0], [-1.0]], variances=[1.0, 1.0]),
    ... )
    >>> for flat in ms.theory.flat_directions(model, params):
    ...     print(flat.words)
    a common shift of gate.intercepts leaves the gate's weights as they are
    a common shift of gate.slopes leaves the gate's weights as they are
    """
    if not (isinstance(length, int | float) and 0 < length < np.inf):
        raise InputError(f"length must be a finite number larger than 0; got {length!r}.")
    if isinstance(n_rows, bool) or not isinstance(n_rows, int | np.integer) or n_rows < 1:
        raise InputError(f"n_rows must be a whole number of at least 1; got {n_rows!r}.")
    rng = np.random.default_rng(seed)
    schema = model.schema_of(params)
    layout = model.layout(schema)
    P = layout.size
    drawn = X is None and Z is None
    if X is None:
        X = SPREAD * rng.standard_normal((max(n_rows, 4 * P), len(schema.features)))
    if Z is None and schema.gate_features != schema.features:
        Z = SPREAD * rng.standard_normal((len(np.asarray(X)), len(schema.gate_features)))
    if drawn:
        X, Z = _with_switches(model, params, X, Z, rng)
    y = model.sample(params, X, rng, Z)
    terms, theta, names = model.terms(schema), layout.pack(params), model.names(schema)
    block = _block(np.asarray(X, dtype=np.float64), None if Z is None else np.asarray(Z, dtype=np.float64), y)
    search = _Search(terms, theta, block, names, length, rng)
    return tuple(_flat_direction(terms, theta, v, curve, block, names) for v, curve in search.curves())


def _with_switches(
    model: MixtureOfExperts, params: MoEParams, X: FloatArray, Z: FloatArray | None, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray | None]:
    """The rows, and more of them beside the gate's switches."""
    more = beside_switches(model, params, X if Z is None else Z, rng)
    if Z is None:
        return np.vstack([X, more]), None
    return np.vstack([X, X[rng.integers(len(X), size=len(more))]]), np.vstack([Z, more])


def _block(X: FloatArray, Z: FloatArray | None, y: FloatArray) -> Block:
    """Rows in the user's units, each counted once; `model.sample` has checked the covariates."""
    n = len(y)
    experts = np.vstack([np.ones(n), X.reshape(n, -1).T])
    gate = experts if Z is None else np.vstack([np.ones(n), Z.reshape(n, -1).T])
    Y = np.ascontiguousarray(y.reshape(n, -1).T, dtype=np.float64)
    return Block(experts, gate, Y, np.zeros(n), np.ones(n))


def _flat_direction(
    terms: Terms, theta: FloatArray, direction: FloatArray, curve: Curve, block: Block, names: list[str]
) -> FlatDirection:
    words, kind = reason(terms, theta, curve.end, block, names)
    moved = tuple(names[i] for i in _moved(theta, curve.end))
    return FlatDirection(words, kind, direction, terms.layout.unpack(curve.end), moved, curve.difference)


def why_flat(
    terms: Terms, theta: FloatArray, direction: FloatArray, block: Block, names: list[str], length: float = 0.1
) -> str | None:
    """Why a direction is flat, in words; ``None`` where the density changes this far along, or no reason is known.

    Parameters
    ----------
    terms : Terms
    theta, direction : ndarray (P,)
    block : Block
        Rows on which densities are compared.
    names : list of str
    length : float
    """
    v = direction / np.linalg.norm(direction)
    curve = follow(terms, theta, v, block, length)
    if curve is None:
        return None
    words, kind = reason(terms, theta, curve.end, block, names)
    return None if kind == "other" else words


# --------------------------------------------------------------------------------------- the search
class _Search:
    """Directions sorted by what they leave alone, from the most to the least, and followed."""

    def __init__(
        self,
        terms: Terms,
        theta: FloatArray,
        block: Block,
        names: list[str],
        length: float,
        rng: np.random.Generator,
    ) -> None:
        self._terms, self._theta, self._block, self._names = terms, theta, block, names
        self._length, self._rng = length, rng
        self._derivatives = Derivatives.at(terms, theta, block)
        self._scale = float(np.linalg.norm(self._derivatives.scores, 2))
        self._known = np.zeros((0, theta.size))

    def curves(self) -> list[tuple[FloatArray, Curve]]:
        """All that were found: first directions and where they lead."""
        space = null_space(self._derivatives.scores, self._theta.size)
        found = self._massless(space) + self._shifts()
        for path, _, start in self._terms.layout.leaves():
            field = self._terms.layout.index(path)
            elsewhere = np.delete(np.eye(self._theta.size), np.arange(start, start + field.size), axis=0)
            found += self._extend(within(self._unmoved(space), elsewhere, 1.0))
        found += self._scales()
        for part in self._parts(space):
            found += self._extend(part)
        return found

    def _massless(self, space: FloatArray) -> list[tuple[FloatArray, Curve]]:
        """Experts without mass, one direction for all parameters of each."""
        weights = Rows.at(self._terms, self._theta, self._block).weights
        found = []
        for k in np.flatnonzero(weights.max(axis=1) < NO_MASS):
            units = np.eye(self._theta.size)[own_columns(self._terms, int(k))]
            v = units.sum(axis=0) / np.sqrt(len(units))
            if (curve := self._follow(v, None)) is not None:
                found.append((v, curve))
                self._known = np.vstack([self._known, units])
        return found

    def _shifts(self) -> list[tuple[FloatArray, Curve]]:
        """Common shifts of all experts' entries in a hard gate, whose scores do not see a switch move."""
        layout, found = self._terms.layout, []
        if (Rows.at(self._terms, self._theta, self._block).weights > 0.0).all():
            return []
        for path, slot, start in layout.leaves():
            if start >= self._terms.n_gate or slot.axes[:1] != ("expert",):
                continue
            for entries in layout.index(path).reshape(slot.shape[0], -1).T:
                v = np.zeros(self._theta.size)
                v[entries] = 1.0 / sqrt(entries.size)
                if (curve := self._follow(v, None)) is not None:
                    found.append((v, curve))
                    self._known = np.vstack([self._known, v])
        return found

    def _scales(self) -> list[tuple[FloatArray, Curve]]:
        """Fields of the gate that may be multiplied by one number, in the user's units."""
        layout, theta = self._terms.layout, self._theta
        fields = [layout.index(path).ravel() for path, _, start in layout.leaves() if start < self._terms.n_gate]
        found = []
        for n in range(1, len(fields) + 1):
            for some in combinations(fields, n):
                index = np.concatenate(some)
                v = np.zeros(theta.size)
                v[index] = np.where(layout.positive[index], 1.0, theta[index])
                if not v.any() or not len(beyond(v[None] / np.linalg.norm(v), self._known)):
                    continue
                if (curve := self._multiplied(index)) is not None:
                    found.append((v / np.linalg.norm(v), curve))
                    self._known = np.vstack([self._known, found[-1][0]])
        return found

    def _multiplied(self, index: IntArray) -> Curve | None:
        """Where these parameters go when they are multiplied, if the density stays."""
        layout, theta = self._terms.layout, self._theta
        worst, end = 0.0, theta
        for share in (*BETWEEN, 1.0):
            end = theta.copy()
            by = np.where(layout.positive[index], 0.0, share * self._length)
            end[index] = theta[index] * np.exp(by) + np.where(layout.positive[index], share * self._length, 0.0)
            worst = max(worst, difference(self._terms, theta, end, self._block))
        return Curve(end, worst) if worst <= SAME else None

    def _unmoved(self, space: FloatArray) -> FloatArray:
        """What of the space changes neither weights nor experts."""
        d = self._derivatives
        return within(space, np.vstack([d.weights, d.experts]), self._tolerance)

    @property
    def _tolerance(self) -> float:
        return max(self._scale, 1e-300) / sqrt(self._terms.n_experts * self._block.weight.size)

    def _parts(self, space: FloatArray) -> list[FloatArray]:
        """The flat space by what stays: weights and experts; experts and other groups' weights; experts; nothing."""
        d, K, B = self._derivatives, self._terms.n_experts, self._block.weight.size
        still = []
        for group in groups(self._terms, self._theta, self._block):
            others = np.repeat([k not in group for k in range(K)], B)
            still.append(np.vstack([d.weights[others], d.experts]))
        still.append(d.experts)
        return [self._unmoved(space), *(within(space, rows, self._tolerance) for rows in still), space]

    def _extend(self, part: FloatArray) -> list[tuple[FloatArray, Curve]]:
        """Follow a basis of what is new in a part, then random combinations of what did not extend."""
        found, stuck = [], []
        for v in readable(beyond(part, self._known)):
            curve = self._follow(v, None)
            if curve is None:
                stuck.append(v)
            else:
                found.append((v, curve))
                self._known = np.vstack([self._known, v])
        left = beyond(np.array(stuck), self._known) if stuck else np.zeros((0, self._theta.size))
        for _ in range(TRIES if len(left) > 1 else 0):
            v = self._rng.standard_normal(len(left)) @ left
            v /= np.linalg.norm(v)
            curve = self._follow(v, NUDGE * self._rng.standard_normal(len(left)) @ left)
            if curve is None:
                continue
            way = (curve.end - self._theta) / np.linalg.norm(curve.end - self._theta)
            found.append((way, curve))
            self._known = np.vstack([self._known, way])
            left = beyond(left, self._known)
            if len(left) < 2:
                break
        return found

    def _follow(self, v: FloatArray, nudge: FloatArray | None) -> Curve | None:
        """As far as asked, or a part of it: weights and probabilities have ends."""
        whole = follow(self._terms, self._theta, v, self._block, self._length, nudge)
        return whole or follow(self._terms, self._theta, v, self._block, SHORTER * self._length, nudge)


def groups(terms: Terms, theta: FloatArray, block: Block) -> list[tuple[int, ...]]:
    """Experts (from 0) that have equal densities on these rows, in groups of two and more."""
    rows = Rows.at(terms, theta, block)
    heavy = [k for k in range(terms.n_experts) if rows.weights[k].max() >= NO_MASS]
    out: list[tuple[int, ...]] = []
    for k in heavy:
        mates = [j for j in heavy if np.abs(rows.experts[j] - rows.experts[k]).max() < EQUAL]
        if mates[0] == k and len(mates) > 1:
            out.append(tuple(mates))
    return out


def own_columns(terms: Terms, k: int) -> IntArray:
    """Positions of the parameters that one expert has for itself."""
    columns = np.concatenate([terms.gate_columns, terms.expert_columns], axis=1)
    others = np.delete(columns, k, axis=0)
    return np.setdiff1d(columns[k], others)


def _moved(theta: FloatArray, end: FloatArray) -> IntArray:
    way = np.abs(end - theta)
    return np.flatnonzero(way > MOVED * way.max(initial=0.0))


# --------------------------------------------------------------------------------------- reasons
def reason(terms: Terms, theta: FloatArray, end: FloatArray, block: Block, names: list[str]) -> tuple[str, str]:
    """Why two parameter vectors have one density, and the kind of reason."""
    one, two = Rows.at(terms, theta, block), Rows.at(terms, end, block)
    heavy = one.weights.max(axis=1) >= NO_MASS
    weights = np.abs(two.weights - one.weights).max(axis=1)
    with np.errstate(invalid="ignore"):
        experts = (one.shares * np.nan_to_num(np.abs(two.experts - one.experts))).max(axis=1)
    if experts[heavy].max(initial=0.0) < STILL:
        if weights.max() < STILL:
            return _nothing_moves(terms, theta, end, heavy, names)
        if words := _shared_out(terms, theta, block, one, two, weights):
            return words
    if words := _constant(block, one, two, np.flatnonzero(np.maximum(weights, experts) > STILL)):
        return words
    return f"the density stays along {_listed(theta, end, names)}", "other"


def _nothing_moves(
    terms: Terms, theta: FloatArray, end: FloatArray, heavy: BoolArray, names: list[str]
) -> tuple[str, str]:
    moved = _moved(theta, end)
    for k in np.flatnonzero(~heavy):
        if np.isin(moved, own_columns(terms, int(k))).all():
            return f"expert {k + 1} has no mass, so its parameters may be anything", "no mass"
    fields = _fields(terms, theta, end)
    part = "gate" if (moved < terms.n_gate).all() else "expert" if (moved >= terms.n_gate).all() else "model"
    stays = {"gate": "the gate's weights", "expert": "the experts' densities"}.get(part, "weights and densities")
    if len(fields) == 1 and _is_shift(terms, theta, end, fields[0], heavy):
        return f"a common shift of {_spoken(fields[0])} leaves {stays} as they are", part
    if _is_scale(terms, theta, end, fields):
        return f"{' and '.join(map(_spoken, fields))} times a common factor leave {stays} as they are", part
    return f"{stays} stay as they are along {_listed(theta, end, names)}", part


def _shared_out(
    terms: Terms, theta: FloatArray, block: Block, one: Rows, two: Rows, weights: FloatArray
) -> tuple[str, str] | None:
    """Experts that coincide and share their weight out anew: each group for itself, or all by one factor."""
    together = groups(terms, theta, block)
    touched = [g for g in together if weights[list(g)].max() > STILL]
    alone = [k for k in np.flatnonzero(weights > STILL) if not any(k in g for g in touched)]
    kept = [np.abs((two.weights - one.weights)[list(g)].sum(axis=0)).max() < STILL for g in touched]
    if alone or not touched or not all(kept):
        return None
    said = " and ".join(_experts(g) for g in touched)
    if len(touched) == 1:
        return f"experts {said} coincide: mass moves freely between them", "coincide"
    if all(_proportional(rows.weights[list(g)]) for g in touched for rows in (one, two)):
        return f"experts {said} coincide: mass moves freely within each group", "coincide"
    return (
        f"experts {said} coincide: weights within each group change by one factor of the covariates, which cancels",
        "ridge",
    )


def _proportional(weights: FloatArray) -> bool:
    """Whether experts (g, B) share their weight in the same way on all rows: the gate does not tell them apart."""
    total = weights.sum(axis=0)
    shares = weights[:, total > NO_MASS] / total[total > NO_MASS]
    return bool(np.ptp(shares, axis=1).max(initial=0.0) < STILL)


def _constant(block: Block, one: Rows, two: Rows, moved: IntArray) -> tuple[str, str] | None:
    """Experts that do not depend on the covariates, mixed anew."""
    if len(moved) < 2 or not all(_ignores_covariates(block, rows.experts[k]) for rows in (one, two) for k in moved):
        return None
    return (
        f"experts {_experts(moved)} ignore the covariates, and a mixture of constant laws is one: "
        "their weights and laws may be shared out anew",
        "constant",
    )


def _ignores_covariates(block: Block, log_density: FloatArray) -> bool:
    """Whether rows with one response have one density, though covariates differ; some response must recur."""
    values, at, counts = np.unique(block.Y, axis=1, return_inverse=True, return_counts=True)
    if (counts < 2).any():
        return False
    same = [np.ptp(log_density[np.ravel(at) == i]) < STILL for i in range(values.shape[1])]
    return all(same)


def _experts(group: Any) -> str:
    return ", ".join(str(int(k) + 1) for k in group)


def _fields(terms: Terms, theta: FloatArray, end: FloatArray) -> list[str]:
    """Fields with moved entries."""
    moved = set(_moved(theta, end).tolist())
    return [path for path, slot, start in terms.layout.leaves() if moved & set(range(start, start + slot.size))]


def _spoken(path: str) -> str:
    """A field's path with groups and families counted from one: ``gate.group[1].slopes``."""
    pieces = [f"[{int(name) + 1}]" if name.isdigit() else f".{name}" for name in path.split(".")]
    return "".join(pieces).removeprefix(".")


def _is_shift(terms: Terms, theta: FloatArray, end: FloatArray, path: str, heavy: BoolArray) -> bool:
    """Whether the entries of a field move by the same for all experts with a mass."""
    way = (end - theta)[terms.layout.index(path)]
    way = way[heavy] if way.ndim > 0 and len(way) == heavy.size else way
    return way.ndim > 0 and len(way) > 1 and bool(np.ptp(way, axis=0).max() < MOVED * np.abs(way).max())


def _is_scale(terms: Terms, theta: FloatArray, end: FloatArray, fields: list[str]) -> bool:
    """Whether the moved fields, in the user's units, are multiplied by one number or by its inverse."""
    one, two = terms.layout.natural(theta), terms.layout.natural(end)
    index = np.concatenate([terms.layout.index(path).ravel() for path in fields])
    index = index[np.abs(one[index]) > 1e-12]
    ratio = two[index] / one[index]
    return index.size > 1 and bool(np.ptp(ratio) < 1e-9 * abs(float(ratio[0]))) and abs(ratio[0] - 1) > 1e-9


def _listed(theta: FloatArray, end: FloatArray, names: list[str], most: int = 4) -> str:
    """The largest moves."""
    way = end - theta
    order = [i for i in np.argsort(-np.abs(way), kind="stable")[:most] if abs(way[i]) > 0.05 * np.abs(way).max()]
    return ", ".join(f"{names[i]} ({way[i]:+.2g})" for i in order)
