"""New rows, checked against the columns that a model knows, as one block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from moestat.coordinates import Coordinates
from moestat.data import Block, Schema, positive_exposure
from moestat.design import deficiencies
from moestat.errors import InputError, RankDeficientWarning, warn
from moestat.typing import FloatArray
from moestat.validate import as_matrix, as_vector

#: Relative size beyond which a relation among covariates counts as broken.
BROKEN = 1e-9


@dataclass
class Query:
    """New rows as a source of one block: what an expert asks to see when it checks them (a `BlockSource`)."""

    schema: Schema
    coordinates: Coordinates
    block: Block
    uses_offset: bool
    uses_exposure: bool
    moments: Coordinates = field(init=False)
    n_rows: int = field(init=False)
    total_weight: float = field(init=False)

    def __post_init__(self) -> None:
        self.moments = self.coordinates  # those of the fit: new rows have none of their own
        self.n_rows = self.block.weight.size
        self.total_weight = float(self.n_rows)  # every row counts once

    def blocks(self) -> Iterator[Block]:
        """The one block."""
        yield self.block

    def in_coordinates(self, coordinates: Coordinates) -> Query:
        """The same rows with another location and scale of the response; covariates stay as they are."""
        Y = coordinates.y.apply(self.coordinates.y.restore(self.block.Y.T)).T
        moved = replace(self.coordinates, y=coordinates.y)
        return replace(self, coordinates=moved, block=self.block._replace(Y=np.ascontiguousarray(Y)))


def query_block(
    schema: Schema,
    coordinates: Coordinates,
    X: Any,
    Z: Any = None,
    *,
    y: Any = None,
    offset: Any = None,
    exposure: Any = None,
) -> Block:
    """New rows as one block, checked against the columns that a model knows.

    ``y`` may be left out where the densities are not asked for; its rows are then zero.
    """
    covariates, gate = known_covariates(schema, X, Z)
    _warn_of_broken_relations(schema, coordinates, "X", covariates)
    if gate is not covariates:
        _warn_of_broken_relations(schema, coordinates, "Z", gate)
    n = len(covariates)
    response = np.zeros((len(schema.responses), n)) if y is None else _known_response(schema, coordinates, y, n)
    known = np.zeros(n) if offset is None else as_vector("offset", offset, n)
    amounts = None if exposure is None else positive_exposure(exposure, n)
    if amounts is not None:
        known = known + np.log(amounts)
    return Block(
        X=np.ascontiguousarray(np.vstack([np.ones(n), coordinates.X.apply_to_new(covariates).T])),
        Z=np.ascontiguousarray(np.vstack([np.ones(n), coordinates.Z.apply_to_new(gate).T])),
        Y=np.ascontiguousarray(response),
        offset=known / coordinates.y.scale[0],
        weight=np.ones(n),
        exposure=amounts,
    )


def _warn_of_broken_relations(schema: Schema, coordinates: Coordinates, of: str, rows: FloatArray) -> None:
    """Rows that break a relation which the covariates of the fit keep: no data say what happens there."""
    relations = coordinates.null_X if of == "X" else coordinates.null_Z
    if relations is None:
        return
    size = np.abs(relations[:, 0]) + np.abs(rows) @ np.abs(relations[:, 1:].T)
    broken = np.abs(relations[:, 0] + rows @ relations[:, 1:].T) > BROKEN * size  # (n, r)
    found = [one for one in deficiencies(schema, coordinates) if of in one.of.split(" and ")]
    for relation, bad in zip(found, broken.T, strict=True):
        if bad.any():
            warn(
                f"{int(bad.sum())} of {len(rows)} rows of {of} break the relation {relation} that all rows of the "
                f"fit keep (the first is row {int(np.argmax(bad))}). What is said about them rests on the solution "
                "of least norm, not on data.",
                RankDeficientWarning,
            )


def known_covariates(schema: Schema, X: Any, Z: Any) -> tuple[FloatArray, FloatArray]:
    """Covariates of the experts (n, d) and of the gate (n, e); each may stand for the other, or for no columns."""
    d, e = len(schema.features), len(schema.gate_features)
    if X is None and d > 0:
        raise InputError(f"X is needed: the experts use {d} covariates, {list(schema.features)}.")
    covariates = None if X is None else _known_columns("X", X, schema.features)
    if Z is not None:
        gate = _known_columns("Z", Z, schema.gate_features, None if covariates is None else len(covariates))
        return np.empty((len(gate), 0)) if covariates is None else covariates, gate
    if covariates is None:
        raise InputError("X is needed to say how many rows there are: pass an array of shape (n, 0).")
    if schema.gate_features == schema.features:
        return covariates, covariates
    if e == 0:
        return covariates, np.empty((len(covariates), 0))
    raise InputError(f"Z is needed: the gate has its own covariates, {list(schema.gate_features)}.")


def _known_columns(name: str, value: Any, expected: tuple[str, ...], n: int | None = None) -> FloatArray:
    matrix = as_matrix(name, value, n)
    if matrix.shape[1] != len(expected):
        raise InputError(
            f"{name} must have the {len(expected)} columns of the fit, {list(expected)}; got {matrix.shape[1]}."
        )
    columns = getattr(value, "columns", None)
    if columns is not None and tuple(map(str, columns)) != expected:
        raise InputError(
            f"{name} must have the columns of the fit in their order, {list(expected)}; got {list(map(str, columns))}."
        )
    return matrix


def _known_response(schema: Schema, coordinates: Coordinates, y: Any, n: int) -> FloatArray:
    if schema.classes is None:
        response = as_matrix("y", y, n)
        if response.shape[1] != len(schema.responses):
            raise InputError(f"y must have the columns of the fit, {list(schema.responses)}; got {response.shape[1]}.")
        return coordinates.y.apply(response).T
    code = {label: i for i, label in enumerate(schema.classes)}
    labels = np.asarray(y).ravel().tolist()
    if len(labels) != n:
        raise InputError(f"y must have as many rows as X, {n}; got {len(labels)}.")
    unknown = sorted({str(label) for label in labels if label not in code})
    if unknown:
        raise InputError(f"y must hold classes of the fit, {list(schema.classes)}; got also {unknown}.")
    return np.array([[float(code[label]) for label in labels]])
