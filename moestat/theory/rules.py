"""The terms of a loss, from the entries of its gate and its expert and from the options: numbers for the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from moestat.errors import InputError
from moestat.theory.entries import GateLoss, expert_loss, exponents
from moestat.theory.measure import MixingMeasure
from moestat.theory.options import Options
from moestat.theory.powers import FREE, ONE, SQUARE, Power
from moestat.theory.search import FITTED, NONE, TRUTH, Rules
from moestat.typing import FloatArray, IntArray


class Term(NamedTuple):
    """A norm: its coordinates by name, whether it is of over-covered cells, and its exponents (K, J)."""

    names: tuple[str, ...]
    over: bool
    power: FloatArray


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


def terms_of(
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


def rules_of(truth: MixingMeasure, terms: Sequence[Term], entry: GateLoss, options: Options) -> Rules:
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
