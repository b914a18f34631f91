"""Models and columns as plain data, for storage."""

from __future__ import annotations

from typing import Any

import numpy as np

from moestat.component import Component
from moestat.data import Schema
from moestat.errors import InputError
from moestat.experts import EXPERTS, Mixed
from moestat.gates import GATES
from moestat.model import MixtureOfExperts


def describe_schema(schema: Schema) -> dict[str, Any]:
    """Column names and class labels."""
    return {
        "features": list(schema.features),
        "gate_features": list(schema.gate_features),
        "responses": list(schema.responses),
        "classes": None if schema.classes is None else _plain(schema.classes),
    }


def restore_schema(described: dict[str, Any]) -> Schema:
    """The inverse of `describe_schema`."""
    classes = described["classes"]
    return Schema(
        tuple(described["features"]),
        tuple(described["gate_features"]),
        tuple(described["responses"]),
        None if classes is None else tuple(classes),
    )


def describe_model(model: MixtureOfExperts) -> dict[str, Any]:
    """A model by the names and settings of its components; a regression function by the model that it is of."""
    model = getattr(model, "whole", model)
    fixed = {path: np.asarray(value).tolist() for path, value in (model.fixed or {}).items()}
    expert = model.expert
    families = [_component(family) for family in expert.families] if isinstance(expert, Mixed) else None
    return {
        "gate": _component(model.gate),
        "expert": families or _component(expert),
        "n_experts": model.n_experts,
        "fixed": fixed,
    }


def _plain(labels: tuple[Any, ...]) -> list[Any]:
    """Class labels as Python's own strings and numbers."""
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    if not all(isinstance(label, str | int | float) for label in plain):
        raise InputError(f"only results with classes of strings or numbers can be saved; got {plain}.")
    return plain


def _component(value: Any) -> Any:
    if isinstance(value, Component):
        settings = {name: _component(setting) for name, setting in value.settings().items()}
        return {"component": value.name, "settings": settings}
    if callable(value):  # a function is not stored, only that there was one
        return {"function": getattr(value, "__qualname__", repr(value))}
    return [_component(entry) for entry in value] if isinstance(value, tuple | list) else value


def restore_model(described: dict[str, Any]) -> MixtureOfExperts:
    """The inverse of `describe_model`; components must be moestat's own."""
    expert = described["expert"]
    tuple_of_families = isinstance(expert, list)
    return MixtureOfExperts(
        gate=_revive(described["gate"], GATES),
        expert=tuple(_revive(e, EXPERTS) for e in expert) if tuple_of_families else _revive(expert, EXPERTS),
        n_experts=described["n_experts"],
        fixed=described["fixed"] or None,
    )


def _revive(described: Any, registry: dict[str, Any]) -> Any:
    if isinstance(described, list):
        return tuple(_revive(entry, registry) for entry in described)
    if isinstance(described, dict) and "function" in described:
        raise InputError(f"the file's model has the function {described['function']!r} as a setting; pass model=.")
    if not (isinstance(described, dict) and "component" in described):
        return described
    name = described["component"]
    if name not in registry:
        raise InputError(f"the file holds a {name!r} component that moestat does not know; pass model=.")
    return registry[name](**{key: _revive(value, registry) for key, value in described["settings"].items()})
