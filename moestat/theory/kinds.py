"""Whether two measures are of one kind, so that their atoms mean the same."""

from __future__ import annotations

from dataclasses import replace

from moestat.errors import InputError
from moestat.gates import Constant, Gate, TopK
from moestat.theory.measure import MixingMeasure


def are_alike(fitted: MixingMeasure, truth: MixingMeasure) -> bool:
    """Whether they have the same coordinates, gate and structure, whatever their numbers of atoms."""
    same = fitted.coordinates == truth.coordinates and bool(fitted.inner) == bool(truth.inner)
    return same and _same_gate(fitted, truth)


def check_alike(fitted: MixingMeasure, truth: MixingMeasure) -> None:
    """An error that says what differs."""
    if fitted.coordinates != truth.coordinates or bool(fitted.inner) != bool(truth.inner):
        raise InputError(
            "fitted and truth must have atoms with the same coordinates; got "
            f"{_described(fitted)} and {_described(truth)}. Fit a model with the gate and the expert of the truth."
        )
    if not _same_gate(fitted, truth):
        raise InputError(
            "fitted and truth must have the same gate, as equal atoms under different gates are different densities; "
            f"got {fitted.gate} with {fitted.size} atoms and {truth.gate} with {truth.size}. A topk gate may have more "
            "active experts than the truth's if it has more experts. The distances of densities compare any two models."
        )


def _described(measure: MixingMeasure) -> list[str]:
    return [f"{c.name}({c.columns.stop - c.columns.start})" for c in measure.coordinates]


def _same_gate(fitted: MixingMeasure, truth: MixingMeasure) -> bool:
    return _same(fitted.gate, truth.gate, fitted.size > truth.size) or _dense(fitted) == _dense(truth)


def _same(own: Gate, true: Gate, larger: bool) -> bool:
    """Equal settings; more active experts are needed where several atoms stand for a true one."""
    if type(own) is not type(true):
        return False
    if isinstance(own, TopK) and isinstance(true, TopK):
        few, many = true.n_active or 2, own.n_active or 2
        enough = many == few or (larger and many > few)
        return enough and replace(own, n_active=None) == replace(true, n_active=None)
    return isinstance(own, Constant) or own == true  # given weights are masses, which are compared as such


def _dense(measure: MixingMeasure) -> Gate:
    """A top-K gate all of whose experts are active is its inner gate."""
    gate = measure.gate
    return gate.inner if isinstance(gate, TopK) and gate.active(measure.size) == measure.size else gate
