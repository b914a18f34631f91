"""Fits that were written to a file by `Results.save`, read again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from moestat import storage
from moestat.certificate import Certificate
from moestat.coordinates import Coordinates
from moestat.description import restore_model, restore_schema
from moestat.errors import InputError
from moestat.model import MixtureOfExperts
from moestat.objectives import OBJECTIVES
from moestat.results import Results
from moestat.solvers import TraceRow
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from moestat.frames.design import FrameDesign


def load(path: str | Path, *, model: MixtureOfExperts | None = None) -> Results:
    """Read a fit written by `Results.save`; everything but the rows is there.

    Parameters
    ----------
    path : str or Path
    model : MixtureOfExperts, optional
        Needed when the gate or an expert is not one of moestat's own.

    Raises
    ------
    InputError
        When the file is missing, damaged, or of a model that is not known.
    """
    header, arrays = storage.read(path)
    try:
        return _restored(header, arrays, model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} is not a complete file of fitted results ({error!r}).") from error


def _restored(header: dict[str, Any], arrays: dict[str, FloatArray], model: MixtureOfExperts | None) -> Results:
    schema = restore_schema(header["schema"])
    way = OBJECTIVES[header.get("objective", "likelihood")]  # files of old fits do not say
    known = way.model(restore_model(header["model"]) if model is None else model)
    if known.layout(schema).size != arrays["theta"].size:
        raise InputError(
            f"model must be the model of the fit, with {arrays['theta'].size} parameters; "
            f"this one has {known.layout(schema).size}."
        )
    if not arrays["hessian"].shape == arrays["outer"].shape == (arrays["theta"].size,) * 2:
        raise InputError(f"the file's covariance sums have shape {arrays['hessian'].shape}; it is damaged.")
    return way.results(
        model=known,
        schema=schema,
        coordinates=Coordinates.from_arrays(arrays),
        theta=arrays["theta"],
        certificate=Certificate.from_dict(header["certificate"]),
        entropy=header["entropy"],
        _hessian=arrays["hessian"],
        _outer=arrays["outer"],
        _starts=header["starts"],
        _trace=tuple(TraceRow(*row) for row in header["trace"]),
        design=_restored_design(header.get("design")),
        known=tuple(header.get("known", ())),
        **way.results.restored_facts(header.get("facts", {}), arrays),
    )


def _restored_design(described: dict[str, Any] | None) -> FrameDesign | None:
    if described is None:
        return None
    from moestat.frames.design import FrameDesign  # formulaic is loaded only when there is a formula

    return FrameDesign.from_dict(described)
