"""Where the rows of a figure come from: the caller, the fit, or nowhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from moestat.coordinates import Affine, Blend, ColumnMap
from moestat.data import Block, positive_exposure
from moestat.errors import InputError
from moestat.frames.columns import Levels, as_frame, as_numbers
from moestat.frames.typical import TRUTH, Typical, levels_to_show, typical
from moestat.plotting.scene import Known, Scene
from moestat.query import known_covariates
from moestat.typing import FloatArray

if TYPE_CHECKING:
    from moestat.frames.design import FrameDesign
    from moestat.results import Results


def scene_of(
    results: Results, X: Any = None, y: Any = None, Z: Any = None, offset: Any = None, exposure: Any = None
) -> Scene:
    """The scene of the given rows, or of those of the fit, or of none when a loaded fit holds none."""
    responses = results.schema.responses
    if len(responses) != 1:
        raise InputError(f"pictures show one response; this model has {len(responses)}, {list(responses)}.")
    if X is None and y is None and Z is None:
        if offset is not None:
            raise InputError("offset goes with rows: pass X and y as well, or leave it out.")
        if exposure is not None:
            raise InputError("exposure goes with rows: pass X and y as well, or leave it out.")
        return _without_rows(results) if results.source is None else _of_the_fit(results)
    design = results.design
    if design is not None and Z is None and design.reads(X, results.schema.features, results.schema.gate_features):
        return _of_frame(results, as_frame("X", X), y, offset, exposure)
    return _of_arrays(results, X, y, Z, offset, exposure)


def _of_the_fit(results: Results) -> Scene:
    """The rows of the fit, back in the user's units."""
    source = results.source
    assert source is not None
    plain = source.in_coordinates(source.moments)
    at = plain.coordinates
    parts = [
        (b.X[1:], b.Z[1:], b.Y, np.stack([b.offset, _exposures(b), b.weight]), b.weight > 0) for b in plain.blocks()
    ]
    X, Z, Y, terms = (np.concatenate([p[i][:, p[4]].T for p in parts]) for i in range(4))
    offset, amounts, weight = terms.T
    y = at.y.restore(Y)[:, 0]
    offset = offset * at.y.scale[0] - np.log(amounts) if source.uses_offset else np.zeros(len(y))
    known = Known(offset, amounts if source.uses_exposure else None)
    classes = results.schema.classes
    labels = y if classes is None else np.array(classes, dtype=object)[y.astype(np.int64)]
    if results.frame is not None and results.design is not None:
        columns = list(dict.fromkeys([*results.design.expert_columns, *results.design.gate_columns]))
        return _framed(results, results.frame[columns], labels, known, weight)
    return _arrayed(results, at.X.restore(X), at.Z.restore(Z), labels, known, weight)


def _of_frame(results: Results, frame: pd.DataFrame, y: Any, offset: Any, exposure: Any) -> Scene:
    design = results.design
    assert design is not None
    scored = y is None and design.has_response(frame)
    columns = list(dict.fromkeys([*design.expert_columns, *design.gate_columns]))
    try:
        read, given = frame, design.rows(frame, y=y, offset=offset, exposure=exposure, scored=scored)
    except InputError:
        nearer = _within(design, frame, columns)
        if nearer is None:
            raise
        read, given = nearer, design.rows(nearer, y=y, offset=offset, exposure=exposure, scored=scored)
    _, _, y, offset, exposure = given
    known = _known(results, offset, exposure, len(frame))
    y = None if y is None else np.asarray(y)
    scene = _framed(results, frame[columns], y, known, np.ones(len(frame)))
    return scene if read is frame else replace(scene, asked=read[columns].reset_index(drop=True))


def _within(design: FrameDesign, frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame | None:
    """The rows at the edge of what the fit saw, in the columns that the formula cannot read beyond: splines' ones."""
    beyond = {}
    for name in columns:
        known = design.typical.get(name)
        if known is None or design.levels[name] is not None or name not in frame or isinstance(known.value, bool):
            continue
        numbers = as_numbers(name, frame[name])
        if ((numbers < known.low) | (numbers > known.high)).any():
            beyond[name] = np.clip(numbers, known.low, known.high)
    for name in list(beyond):  # only those that must be
        others = {other: column for other, column in beyond.items() if other != name}
        if others != beyond and _readable(design, frame.assign(**others)):
            del beyond[name]
    nearer = frame.assign(**beyond)
    return nearer if beyond and _readable(design, nearer) else None


def _readable(design: FrameDesign, frame: pd.DataFrame) -> bool:
    try:
        design.rows(frame, offset=0.0, exposure=1.0)
    except InputError:
        return False
    return True


def _of_arrays(results: Results, X: Any, y: Any, Z: Any, offset: Any, exposure: Any) -> Scene:
    if X is None and Z is None and not results.schema.features:
        X = np.empty((len(y), 0))
    covariates, gate = known_covariates(results.schema, X, Z)
    n = len(covariates)
    y = None if y is None else np.asarray(y).reshape(n, -1)[:, 0]
    scene = _arrayed(results, covariates, gate, y, _known(results, offset, exposure, n), np.ones(n))
    at = results.coordinates
    reach = {**_reach(at.Z, scene.gate), **_reach(at.X, scene.experts)}
    middle = {
        name: here if here.low < here.high else Typical(here.value, *reach[name][1:])  # one row spans nothing
        for name, here in scene.typical.items()
    }
    return replace(scene, typical=middle)


def _exposures(block: Block) -> FloatArray:
    return np.ones(block.weight.size) if block.exposure is None else block.exposure


def _known(results: Results, offset: Any, exposure: Any, n: int) -> Known:
    """The known terms of every row; a fit with an offset or exposures cannot be shown without."""
    if offset is None and "offset" in results.known:
        raise InputError("offset is needed: the model was fitted with one, and the points move with it.")
    if exposure is None and "exposure" in results.known:
        raise InputError("exposure is needed: the model was fitted with exposures, and the points move with them.")
    return Known(
        np.zeros(n) if offset is None else np.broadcast_to(np.asarray(offset, dtype=float), (n,)),
        None if exposure is None else positive_exposure(exposure, n),
    )


def _framed(results: Results, rows: pd.DataFrame, y: Any, known: Known, weight: FloatArray) -> Scene:
    """Rows of the columns of a formula."""
    design = results.design
    assert design is not None
    levels = {name: levels_to_show(design.levels[name], design.typical.get(name)) for name in rows.columns}
    numbers = {
        name: as_numbers(name, rows[name]) if design.levels[name] is None else rows[name] for name in rows.columns
    }
    for name in [name for name, known in levels.items() if known == TRUTH and design.levels[name] is None]:
        if not np.isin(numbers[name], TRUTH).all():
            levels[name] = None  # numbers between the two, in new rows
    middle = {name: typical(np.asarray(column), levels[name], weight) for name, column in numbers.items()}
    middle = {name: _known_part(here, levels[name], design.typical.get(name)) for name, here in middle.items()}
    table = pd.DataFrame(numbers, index=rows.index).reset_index(drop=True)
    return Scene(
        results, design.expert_columns, design.gate_columns, middle, levels, table, y, known, weight, framed=True
    )


def _known_part(here: Typical, levels: tuple[Any, ...] | None, known: Typical | None) -> Typical:
    """Of the range of the rows, what the fit saw as well; all that the fit saw if that is less than a stretch."""
    if levels is not None or known is None or isinstance(known.value, bool):
        return here
    low, high = max(here.low, known.low), min(here.high, known.high)
    if low >= high:
        low, high = known.low, known.high
    return Typical(float(np.clip(here.value, known.low, known.high)), low, high)


def _arrayed(results: Results, X: FloatArray, Z: FloatArray, y: Any, known: Known, weight: FloatArray) -> Scene:
    """Rows of arrays; a column of X and one of Z that have one name are one covariate if they have the same values."""
    experts = results.schema.features
    own = dict(zip(experts, X.T, strict=True))
    gate = tuple(
        f"{name} (gate)" if name in own and not np.array_equal(own[name], column) else name
        for name, column in zip(results.schema.gate_features, Z.T, strict=True)
    )
    table = pd.DataFrame({**own, **dict(zip(gate, Z.T, strict=True))}, index=range(len(X)))
    middle = {name: typical(table[name].to_numpy(), None, weight) for name in table.columns}
    levels: Levels = dict.fromkeys(middle)
    return Scene(results, experts, gate, middle, levels, table, y, known, weight, framed=False)


def _without_rows(results: Results) -> Scene:
    """Curves of a loaded fit: a formula knows the ranges of its columns, coordinates about where theirs are."""
    design, nothing = results.design, np.empty(0)
    if design is not None and design.readable:
        experts, gate = design.expert_columns, design.gate_columns
        missing = [name for name in (*experts, *gate) if name not in design.typical]
        if missing:
            raise InputError(f"this file does not say where {missing} lie: pass X, a data frame with these columns.")
        middle = design.typical
        levels = {name: levels_to_show(known, middle.get(name)) for name, known in design.levels.items()}
    else:
        experts, gate = results.schema.features, results.schema.gate_features
        middle = {**_reach(results.coordinates.Z, gate), **_reach(results.coordinates.X, experts)}
        levels = dict.fromkeys(middle)
    framed = design is not None and design.readable
    return Scene(results, experts, gate, middle, levels, None, None, Known(nothing), nothing, framed)


def _reach(at: ColumnMap, names: tuple[str, ...]) -> dict[str, Typical]:
    """About where columns lie: two powers of two, near the standard deviation, either side of near the mean."""
    standard = at.standard if isinstance(at, Blend) else at
    assert isinstance(standard, Affine)
    low, high = standard.location - 2 * standard.scale, standard.location + 2 * standard.scale
    ends = zip(names, standard.location.tolist(), low.tolist(), high.tolist(), strict=True)
    return {name: Typical(*where) for name, *where in ends}
