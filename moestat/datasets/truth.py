"""What rows are drawn from: a model with parameters, and the names of its columns and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from moestat.errors import InputError

if TYPE_CHECKING:
    from moestat.frames.design import FrameDesign
    from moestat.model import MixtureOfExperts, MoEParams


class Truth(NamedTuple):
    """A model with its true parameters; ``design`` is that of a fit by a formula."""

    model: MixtureOfExperts
    params: MoEParams
    features: tuple[str, ...]
    gate_features: tuple[str, ...]
    responses: tuple[str, ...]
    classes: tuple[Any, ...] | None
    fitted: bool
    design: FrameDesign | None


def truth_of(model: Any, params: Any, classes: Any) -> Truth:
    """The truth that a model with parameters states, or a fit.

    Raises
    ------
    InputError
        When it is neither, or when the classes are not those of the model.
    """
    from moestat.model import MixtureOfExperts  # here, so that the catalogue does not wait for a compiler
    from moestat.results import Results

    fitted = isinstance(model, Results)
    if isinstance(model, Results):
        if params is not None:
            raise InputError("params must be left out when model is a fit: its estimates are the truth.")
        known, schema, design = model.model, model.schema, model.design
        params = model.params
    elif isinstance(model, MixtureOfExperts):
        if params is None:
            raise InputError("params are needed: make them by model.params(gate=..., expert=...), or pass a fit.")
        known, schema, design = model, model.schema_of(params), None
    else:
        raise InputError(f"model must be a MixtureOfExperts or the Results of a fit; got {type(model).__name__}.")
    labels = _labels(schema.classes, classes)
    return Truth(known, params, schema.features, schema.gate_features, schema.responses, labels, fitted, design)


def _labels(known: tuple[Any, ...] | None, given: Any) -> tuple[Any, ...] | None:
    if given is None:
        return known
    if known is None:
        raise InputError("classes are for experts that describe classes; these describe numbers. Leave classes out.")
    labels = tuple(given)
    if len(set(labels)) != len(known) or len(labels) != len(known):
        raise InputError(f"classes must be {len(known)} different labels, one per class; got {list(labels)}.")
    return labels
