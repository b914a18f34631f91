"""Voronoi losses: how far a fitted mixing measure is from the true one, in the sense of the theorems.

    D(G, G*) = inf_t { sum_j |sum_{i in A_j} m_i - e^{t0} m*_j| + sum_j sum_{i in A_j} m_i sum_terms |Delta_ij|^power }

A_j are the fitted atoms nearest to the true atom j. A true atom with one fitted atom has the norm of the difference,
one that several share has powers of the norms of groups of coordinates (`moestat.theory.entries`). Of each gate the
translations t are those that change no weight. Under a hierarchy |Delta_ij| of two groups includes the loss between
their own measures.

Published forms differ in what they leave open: how fitted masses, which the density determines up to a factor, are
compared with true ones; what is shifted; where cells are built. Each is an option, and the defaults make the loss a
function of the density: fitted masses are first matched to the true total, t0 then moves the truth's, and cells are
built after every shift. The infimum over shifts is found by `moestat.theory.search`.

Limits. With one expert only differences of its own parameters remain. With one atom in every cell the loss is that of
exact specification. A true atom without fitted ones counts by its mass alone. With fewer fitted atoms than true ones
some cells are empty, and the loss is bounded below by their masses. The infimum over t0 may be at minus infinity,
where most of the truth's mass has no fitted atoms; the sum of masses is then that of the fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from moestat.errors import InputError
from moestat.theory import search
from moestat.theory.entries import FREE, ONE, SQUARE, GateLoss, Power, expert_loss, exponents, gate_loss
from moestat.theory.measure import VARIANCES, MixingMeasure
from moestat.theory.options import Options
from moestat.theory.rbar import PROVED_UP_TO
from moestat.theory.search import FITTED, NONE, TRUTH, Rules, Sides
from moestat.theory.summands import LossParts, Summand
from moestat.typing import FloatArray, IntArray


def voronoi_loss(
    fitted: MixingMeasure | Sequence[MixingMeasure],
    truth: MixingMeasure,
    *,
    variant: str = "published",
    mass: str = "matched",
    translation: str = "truth",
    cells: str = "aligned",
    cell_metric: str = "euclidean",
    norm: str = "joint",
    scale: str = "variance",
    coordinates: str = "standardised",
    r: float = 1.0,
    parts: bool = False,
) -> Any:
    """The Voronoi loss between a fitted mixing measure and the true one.

    Parameters
    ----------
    fitted : MixingMeasure, or a sequence of them
        Any number of atoms. Of a sequence, with atoms of one number, come as many losses, much faster than one by one.
    truth : MixingMeasure
        Its gate and its expert decide the exponents; it carries the moments of the covariates.
    variant : {"published", "sharp", "merged"}
        Exponents of the papers; those that moestat expects to be the true ones, which differ under softmax gates alone
        (derived, not proved: 2 for slopes of gate and experts); or the published ones with the merged atom of every
        over-covered cell, at first order, beside them [arXiv 2510.12744; the form of these terms is recalled, not
        verified].
    mass : {"matched", "raw"}
        Whether fitted masses are scaled to the true total first.
    translation : {"truth", "fitted", "none"}
        Whose masses t0 moves. With "none" nothing is translated, slopes neither.
    cells : {"aligned", "fixed", "experts"}
        Cells built after every translation, without one, or from the coordinates of the experts alone.
    cell_metric : {"euclidean", "absolute"}
        Distance between atoms: the length, or the sum of absolute differences.
    norm : {"joint", "separate"}
        One norm of all coordinates with one exponent, or a norm for each.
    scale : {"variance", "sd"}
        Whether variances are compared, or their roots.
    coordinates : {"standardised", "raw"}
        Units of the covariates: by the moments of the truth, or the user's.
    r : float
        The exponent, at least 1, of losses that are a family: those of a temperature round homogeneous logits, and of
        multinomial experts with constant ones among them.
    parts : bool
        Whether to return every summand.

    Returns
    -------
    float, ndarray (R,) or LossParts

    Raises
    ------
    InputError
        When the measures have different atoms, when no loss is known for gate or expert, or when standard units are
        asked for and the truth carries no moments.

    Notes
    -----
    The loss is in the units of the truth's masses as they are given: a truth with twice the masses has twice the loss.

    With at least twice as many fitted experts as true ones a gate with linear logits is not identified: every true atom
    may be split into a pair with slopes beta_1 + u and beta_1 - u, for one u, and no weight changes. The loss does.

    References
    ----------
    Nguyen, Nguyen and Ho (2023), Demystifying softmax gating function in Gaussian mixture of experts, arXiv 2305.03288.
    """
    chosen = Options(variant, mass, translation, cells, cell_metric, norm, scale, coordinates, r)
    if not isinstance(truth, MixingMeasure):
        raise InputError(f"truth must be a MixingMeasure, made by mixing_measure; got {type(truth).__name__}.")
    if isinstance(fitted, MixingMeasure):
        found = Pair.of(*in_common_units(fitted, truth, chosen.coordinates), chosen).solve()
        return found.parts() if parts else found.loss
    if parts:
        raise InputError("parts=True takes one fitted measure; got several. Call it for each of them.")
    return _many(list(fitted), truth, chosen)


# --------------------------------------------------------------------------------------- units
def in_common_units(
    fitted: MixingMeasure, truth: MixingMeasure, coordinates: str
) -> tuple[MixingMeasure, MixingMeasure]:
    """Both measures in the user's units, or in the standard units of the truth."""
    if not isinstance(fitted, MixingMeasure):
        raise InputError(f"fitted must be a MixingMeasure, made by mixing_measure; got {type(fitted).__name__}.")
    if coordinates == "raw":
        for name, one in (("fitted", fitted), ("truth", truth)):
            if one.units is not None:
                raise InputError(f"{name} is in standard units; coordinates='raw' compares measures in the user's.")
        return fitted, truth
    reference = truth if truth.units is not None else truth.standardised()
    own = fitted if fitted.units is not None else fitted.standardised(truth.moments)
    if own.units is None or reference.units is None or not own.units.same_as(reference.units):
        raise InputError("fitted and truth are in different units: standardise both by the moments of the truth.")
    return own, reference


# --------------------------------------------------------------------------------------- one pair
class Term(NamedTuple):
    """A norm: its coordinates by name, whether it is of over-covered cells, and its exponents (K, J)."""

    names: tuple[str, ...]
    over: bool
    power: FloatArray


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
        return float(_scaled(np.float64(self.value), self.pair.unit))

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
        _check_alike(fitted, truth)
        entry = gate_loss(truth.gate)
        terms = _terms(truth, fitted.size, entry, options, above)
        rules = _rules(truth, terms, entry, options)
        masses, true_masses, unit = _masses(fitted.log_masses, truth.log_masses, options.mass)
        inner = _inner(fitted, truth, options, (*above, entry))
        extra = np.zeros((fitted.size, truth.size))
        for (i, j), solved in inner.items():
            extra[i, j] = solved.loss
        atoms, true_atoms, apart = _numbers(fitted, truth, options.scale)
        if truth.inner:
            apart = apart + _unlike_groups(fitted, truth, inner, extra)
        return Pair(
            fitted, truth, terms, rules, Sides(atoms, true_atoms, masses, true_masses, extra, apart), unit, inner
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
        found = [Summand("masses", False, _scaled(np.abs(moved * fitted_mass - true_mass), self.unit))]
        for t, term in enumerate(self.terms):
            used = (sizes[cells] > 1) == term.over
            length = np.linalg.norm(apart[:, self._columns(t)], axis=1)
            power = term.power[sizes[cells] - 1, cells]
            each = np.where(used, moved * sides.masses * length**power, 0.0)
            found.append(Summand(" + ".join(term.names), term.over, _scaled(np.bincount(cells, each, J), self.unit)))
        found += self._merged_summands(at, sizes, fitted_mass, moved)
        if self.inner:
            each = moved * sides.masses * sides.extra[np.arange(cells.size), cells]
            found.append(Summand("within groups", False, _scaled(np.bincount(cells, each, J), self.unit)))
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
        return [Summand("merged atoms", True, _scaled(moved * total, self.unit))]


def _check_alike(fitted: MixingMeasure, truth: MixingMeasure) -> None:
    if fitted.coordinates == truth.coordinates and bool(fitted.inner) == bool(truth.inner):
        return
    raise InputError(
        "fitted and truth must have atoms with the same coordinates; got "
        f"{_described(fitted)} and {_described(truth)}. Fit a model with the gate and the expert of the truth."
    )


def _described(measure: MixingMeasure) -> list[str]:
    return [f"{c.name}({c.columns.stop - c.columns.start})" for c in measure.coordinates]


def _masses(logs: FloatArray, truth: FloatArray, mass: str) -> tuple[FloatArray, FloatArray, float]:
    """Masses without overflow, and the logarithm of their unit."""
    if mass == "matched":
        unit = float(logsumexp(truth))
        return np.exp(logs - logsumexp(logs)), np.exp(truth - unit), unit
    unit = float(max(logs.max(), truth.max()))
    return np.exp(logs - unit), np.exp(truth - unit), unit


def _numbers(fitted: MixingMeasure, truth: MixingMeasure, scale: str) -> tuple[FloatArray, FloatArray, FloatArray]:
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


def _scaled(values: Any, unit: float) -> FloatArray:
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
        if own.coordinates == true.coordinates
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


# --------------------------------------------------------------------------------------- the table of exponents
def _powers(
    truth: MixingMeasure, entry: GateLoss, options: Options, above: tuple[GateLoss, ...]
) -> tuple[dict[str, Power], bool]:
    """Exponents in over-covered cells by coordinate, and whether exact cells have the same."""
    sharp = options.variant == "sharp"
    expert = None if truth.expert is None else expert_loss(truth.expert)
    couples = any(one.couples for one in (*above, entry))
    named = {c.name: truth[c.name] for c in truth.coordinates}
    if entry.free or (expert is not None and couples and expert.collapse is not None and expert.collapse(named)):
        return dict.fromkeys(named, FREE), True
    found = {}
    for coordinate in truth.coordinates:
        field = coordinate.field
        if coordinate.name.startswith("gate."):
            if field not in entry.published:
                raise InputError(
                    f"the loss entry of the {truth.gate.name} gate has no exponent for {field!r}; it has "
                    f"{sorted(entry.published)}."
                )
            own = entry.sharp.get(field, entry.published[field]) if sharp else entry.published[field]
            # of groups the papers know the number; below a gate with parameters the slopes' exponent is two
            found[coordinate.name] = ONE if truth.inner else SQUARE if any(one.published for one in above) else own
        elif expert is not None:
            own = expert.alone.get(field, SQUARE)
            beside = {**expert.coupled, **(expert.sharp if sharp else {})}
            found[coordinate.name] = beside.get(field, own) if couples else own
    return found, False


def _terms(
    truth: MixingMeasure, largest: int, entry: GateLoss, options: Options, above: tuple[GateLoss, ...]
) -> tuple[Term, ...]:
    """The norms of exact cells and those of over-covered ones."""
    powers, same = _powers(truth, entry, options, above)
    named = {c.name: truth[c.name] for c in truth.coordinates}
    special = entry.special(named) if entry.special is not None else None
    over = exponents(powers, truth.size, largest, options.r, special)
    exact = exponents(powers if same else dict.fromkeys(powers, ONE), truth.size, largest, options.r, None)

    def grouped(tables: Mapping[str, FloatArray], key: Mapping[str, Any], many: bool) -> list[Term]:
        groups: dict[Any, list[str]] = {}
        for name in tables:
            groups.setdefault(key[name] if options.norm == "joint" else name, []).append(name)
        return [Term(tuple(names), many, tables[names[0]]) for names in groups.values()]

    own = {name: (power, special is not None and special[0] == name) for name, power in powers.items()}
    return (*grouped(exact, dict.fromkeys(powers, ONE), False), *grouped(over, own, True))


def _rules(truth: MixingMeasure, terms: Sequence[Term], entry: GateLoss, options: Options) -> Rules:
    width = truth.atoms.shape[1]
    columns = {c.name: np.arange(width)[c.columns] for c in truth.coordinates}
    free = entry.by_density and options.translation != "none"
    moved = [columns[f"gate.{field}"] for field in entry.shifts if f"gate.{field}" in columns] if free else []
    shift = np.concatenate([np.zeros(0, dtype=np.int64), *moved]).astype(np.int64)
    of_experts = options.cells == "experts" and truth.expert is not None

    def members(names: Sequence[Sequence[str]]) -> tuple[Any, Any]:
        inside = np.zeros((len(names), width), dtype=bool)
        for row, group in zip(inside, names, strict=True):
            for name in group:
                row[columns[name]] = True
        still = inside.copy()
        still[:, shift] = False
        return still, np.ascontiguousarray(inside[:, shift])

    still, moving = members([term.names for term in terms])
    everything = [tuple(columns)] if options.norm == "joint" else [(name,) for name in columns]
    merging = options.variant == "merged" and truth.expert is not None
    merged_still, merged_moving = members(everything if merging else [])
    in_cells = [name for name in columns if not of_experts or name.startswith("expert.")]
    cell_still, cell_moving = members([in_cells])
    power = np.stack([term.power for term in terms]) if terms else np.zeros((0, 1, truth.size))
    return Rules(
        shift=shift,
        still=still,
        moving=moving,
        over=np.array([term.over for term in terms], dtype=bool),
        power=power,
        merged_still=merged_still,
        merged_moving=merged_moving,
        corrections=corrections(truth, entry) if merging else np.zeros((0, 3), dtype=np.int64),
        cell_still=cell_still[0],
        cell_moving=cell_moving[0],
        absolute=options.cell_metric == "absolute",
        aligned=options.cells == "aligned" or (options.cells == "experts" and not of_experts),
        n_active=min(entry.active or truth.size, truth.size),
        translation={"truth": TRUTH, "fitted": FITTED, "none": NONE}[options.translation] if entry.by_density else NONE,
    )


def corrections(measure: MixingMeasure, entry: GateLoss) -> IntArray:
    """Columns (R, 3) of merged atoms: to the first comes the covariance of the other two within the cell."""
    expert = None if measure.expert is None else expert_loss(measure.expert)
    columns = {c.name: np.arange(measure.atoms.shape[1])[c.columns] for c in measure.coordinates}
    rows = []
    if expert is not None and expert.heat is not None:
        location, spread = (columns[f"expert.{name}"] for name in expert.heat)
        rows += [(v, m, m) for v, m in zip(spread, location, strict=True)]
        slopes = columns.get(f"gate.{entry.slopes}", np.zeros(0, dtype=np.int64))
        along = columns[f"expert.{expert.along}"] if expert.along else slopes[:0]
        if entry.couples and len(slopes) == len(along):
            rows += [(a, u, location[0]) for a, u in zip(along, slopes, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


# --------------------------------------------------------------------------------------- many fits
def _many(fitted: list[MixingMeasure], truth: MixingMeasure, options: Options) -> FloatArray:
    """Losses of many fits of one size, by one compiled call; of hierarchies and of several families one by one."""
    if not fitted:
        return np.zeros(0)
    reference = truth.standardised() if options.coordinates == "standardised" and truth.units is None else truth
    pairs = [in_common_units(one, reference, options.coordinates)[0] for one in fitted]
    first = Pair.of(pairs[0], reference, options)
    alike = all(one.size == first.fitted.size and one.coordinates == reference.coordinates for one in pairs)
    if options.mass == "raw" or reference.inner or not alike or np.isnan(reference.atoms).any():
        return np.array([Pair.of(one, reference, options).solve().loss for one in pairs])
    logs = np.stack([one.log_masses for one in pairs])
    masses = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    atoms = np.stack([one.atoms for one in pairs])
    if options.scale == "sd":
        atoms = np.stack([_numbers(one, reference, options.scale)[0] for one in pairs])
    values = search.infima(first.rules, atoms, masses, first.sides.truth, first.sides.true_masses)
    return _scaled(values, first.unit)
