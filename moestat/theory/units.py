"""Measures in the same units: two, or many and a true one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.model import MixtureOfExperts, MoEParams
from moestat.theory.measure import MixingMeasure, mixing_measure
from moestat.theory.moments import Moments


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


def all_in_common_units(fitted: list[MixingMeasure], truth: MixingMeasure, coordinates: str) -> list[MixingMeasure]:
    """Many fitted measures in the units of a truth that is in them already; those of one model all at once."""
    if coordinates == "standardised" and truth.moments is not None and _are_of_one_model(fitted):
        fitted = _standardised(fitted, truth.moments)
        in_common_units(fitted[0], truth, coordinates)
        return fitted
    return [in_common_units(one, truth, coordinates)[0] for one in fitted]


def _are_of_one_model(measures: list[MixingMeasure]) -> bool:
    """Whether they are raw, with one gate and one expert, and only parameters of single experts in their records."""
    first = measures[0]
    if not isinstance(first, MixingMeasure) or first.origin is None or first.inner:
        return False
    model, params = first.origin
    own = all(slot.axes[:1] == ("expert",) for _, slot, _ in model.layout(model.schema_of(params)).leaves())
    intercepts = hasattr(params.gate, "intercepts")  # not weights that add up to one
    return own and intercepts and all(_is_of(one, model, first) for one in measures)


def _is_of(one: Any, model: MixtureOfExperts, first: MixingMeasure) -> bool:
    if not isinstance(one, MixingMeasure) or one.units is not None or one.origin is None:
        return False
    gate, expert = one.origin[0].gate, one.origin[0].expert
    return gate == model.gate and expert == model.expert and one.coordinates == first.coordinates


def _standardised(measures: Sequence[MixingMeasure], moments: Moments) -> list[MixingMeasure]:
    """Measures of one model in standard units, by way of one model with the experts of all of them."""
    ends = np.cumsum([0, *(one.size for one in measures)])
    origins = [one.origin for one in measures if one.origin is not None]
    model = origins[0][0]
    together = MixtureOfExperts(gate=model.gate, expert=model.expert, n_experts=int(ends[-1]))
    params = MoEParams(
        gate=_stacked([one.gate for _, one in origins]), expert=_stacked([one.expert for _, one in origins])
    )
    found = mixing_measure(together, params).standardised(moments)
    return [
        replace(one, log_masses=found.log_masses[a:b], atoms=found.atoms[a:b], units=found.units)
        for one, a, b in zip(measures, ends, ends[1:], strict=False)
    ]


def _stacked(records: Sequence[Any]) -> Any:
    """One record with the rows of all."""
    names = [one.name for one in fields(records[0])]
    return type(records[0])(**{name: np.concatenate([getattr(one, name) for one in records]) for name in names})
