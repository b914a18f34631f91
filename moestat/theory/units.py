"""Two measures in the same units."""

from __future__ import annotations

from moestat.errors import InputError
from moestat.theory.measure import MixingMeasure


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
