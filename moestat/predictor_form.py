"""A model in the form that many fits at once need: linear predictors, compiled laws, and a box in the user's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moestat.bounds import Bounds, box_of
from moestat.coordinates import Affine, Coordinates
from moestat.data import Schema
from moestat.gates.translated import Translated
from moestat.kernels import many_fits
from moestat.kernels.address import LAW, address_of
from moestat.kernels.box import Box
from moestat.kernels.predictor_sums import Predictors
from moestat.law import MEAN, PLAIN, Law, LinearPredictor
from moestat.model import MixtureOfExperts
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray

#: More predictors, or more products of features, than this are left to passes over tiles: their sums grow with the
#: square of each.
MOST_PREDICTORS = 64
MOST_PRODUCTS = 300


@dataclass(frozen=True, eq=False)
class PredictorForm:
    """What compiled code takes of a model: its predictors, and the task; ``laws`` keep their compiled code alive."""

    predictors: Predictors
    task: many_fits.Task
    laws: tuple[Law, ...]
    shared: bool  # gate and experts see the same features

    def columns(self, X: FloatArray, Z: FloatArray | None) -> FloatArray:
        """Covariates (..., d) of the rows, those of the gate after the experts' where they are not the same."""
        return X if self.shared else np.concatenate([X, X if Z is None else Z], axis=-1)


def predictor_form(model: MixtureOfExperts, schema: Schema, bounds: Bounds, same: bool) -> PredictorForm | None:
    """The form of a model for data with these columns, or None where it has none.

    ``same`` says that gate and experts have the same covariates.
    """
    layout, K = model.layout(schema), model.n_experts
    gate_layout, expert_layout = layout.part("gate"), layout.part("expert")
    logits = model.gate.linear_logits(gate_layout)
    laws = model.expert.predictor_laws(expert_layout)
    if logits is None or laws is None or K == 1 or not isinstance(model.gate, Translated):
        return None
    own = tuple(_moved(law, gate_layout.size) for law in laws)
    predictors = [LinearPredictor(columns) for columns in logits] + [p for law in own for p in law.predictors]
    kept = _kept(model, layout, bounds)
    moves_gate = model.gate.equivariant and not _shifted(predictors[:K]) & kept
    moves_mean = model.expert.equivariant and not _shifted(predictors[K:]) & kept
    if same and moves_gate != moves_mean:  # moved for one and not for the other they would be two collinear sets
        moves_gate = moves_mean = False
    shared = same
    d, e = len(schema.features), len(schema.gate_features)
    u = 1 + d + (0 if shared else e)
    if len(predictors) > MOST_PREDICTORS or u * (u + 1) // 2 > MOST_PRODUCTS:
        return None
    gate_features = np.concatenate([[0], np.arange(1, 1 + d) if shared else np.arange(1 + d, 1 + d + e)])
    features = [gate_features] * K + [np.arange(1 + d)] * (len(predictors) - K)
    box = _box(model, schema, bounds, own)
    kinds = model.expert.kinds(K)
    task = many_fits.Task(
        roles=np.array([p.role for p in predictors], dtype=np.int64),
        box=box,
        kinds=kinds.astype(np.int64),
        relabelled=model.gate.exchangeable and _alike(model, schema, bounds),
        centred_X=(d if moves_mean else 0) + (e if moves_gate and moves_mean and not shared else 0),
        centred_y=moves_mean and model.expert.scales_response and model.expert.shifts_response,
        scaled_y=model.expert.scales_response,
    )
    return PredictorForm(_table(predictors, features, own, K), task, own, shared)


def _moved(law: Law, by: int) -> Law:
    """The law with its positions counted from the start of the whole vector."""
    moved = tuple(LinearPredictor(p.columns + by, p.role) for p in law.predictors)
    return Law(law.kernel, moved, law.settings, law.normal)


def _kept(model: MixtureOfExperts, layout: Layout, bounds: Bounds) -> set[int]:
    """Positions that are bounded or held: no shift of the covariates may move them."""
    return {int(i) for path in (*bounds, *(model.fixed or ())) for i in layout.index(path).ravel()}


def _shifted(predictors: Sequence[LinearPredictor]) -> set[int]:
    """Positions that shifts of the covariates and of the response move: intercepts."""
    return {int(p.columns[0]) for p in predictors if p.role == MEAN or (p.role == PLAIN and p.columns.size > 1)}


def _alike(model: MixtureOfExperts, schema: Schema, bounds: Bounds) -> bool:
    """Whether what is bounded or held is so for all experts alike: then they may change places."""
    layout = model.layout(schema)
    held = model.holding(schema, raw_units(schema))
    slots = {path: slot for path, slot, _ in layout.leaves()}
    box = box_of(model, schema, raw_units(schema), bounds)
    for path in (*bounds, *(model.fixed or ())):
        if slots[path].axes[:1] != ("expert",):
            continue
        index = layout.index(path)
        for values in (box.lower, box.upper, np.where(held.free, 0.0, held.values), held.free):
            rows = values[index].reshape(len(index), -1)
            if not (rows == rows[0]).all():
                return False
    return True


def raw_units(schema: Schema) -> Coordinates:
    """The user's units as coordinates."""
    X, Z, y = (Affine.identity(len(names)) for names in (schema.features, schema.gate_features, schema.responses))
    return Coordinates(X, Z, y)


def _box(model: MixtureOfExperts, schema: Schema, bounds: Bounds, laws: Sequence[Law]) -> Box:
    layout, K = model.layout(schema), model.n_experts
    gate_layout, expert_layout = layout.part("gate"), layout.part("expert")
    n_gate = gate_layout.size
    holding, box = model.holding(schema, raw_units(schema)), box_of(model, schema, raw_units(schema), bounds)
    floors = np.full(layout.size, -np.inf)
    floors[n_gate:] = model.expert.lower_bounds(expert_layout, np.ones(len(schema.responses)), K == 1)
    floors[~holding.free] = -np.inf
    assert isinstance(model.gate, Translated)
    shifts = np.array(list(model.gate.shifts(gate_layout).values()), dtype=np.int64).reshape(-1, K)
    return Box(
        lower=box.lower,
        upper=box.upper,
        floors=floors,
        held=holding.values,
        free=holding.free,
        shifts=shifts,
        n_gate=n_gate,
        sinks=_sinks(laws, np.isfinite(floors) & holding.free),
        n_local=int(model.expert.columns(expert_layout).shape[1]),
    )


def _sinks(laws: Sequence[Law], may_sink: FloatArray) -> IntArray:
    """Positions (K, s) that belong to one expert alone and have a floor, or -1."""
    positions = [np.unique(np.concatenate([p.columns for p in law.predictors])) for law in laws]
    used = np.bincount(np.concatenate(positions), minlength=may_sink.size)
    own = [[int(i) for i in mine if may_sink[i] and used[i] == 1] for mine in positions]
    out = np.full((len(laws), max(1, *(len(mine) for mine in own))), -1, dtype=np.int64)
    for row, mine in zip(out, own, strict=True):
        row[: len(mine)] = mine
    return out


def _table(
    predictors: Sequence[LinearPredictor], features: Sequence[IntArray], laws: Sequence[Law], K: int
) -> Predictors:
    M, u = len(predictors), max(p.columns.size for p in predictors)
    columns, seen = np.zeros((M, u), dtype=np.int64), np.zeros((M, u), dtype=np.int64)
    width = np.array([p.columns.size for p in predictors], dtype=np.int64)
    for a, (predictor, own) in enumerate(zip(predictors, features, strict=True)):
        columns[a, : width[a]], seen[a, : width[a]] = predictor.columns, own[: width[a]]
    first = K + np.cumsum([0, *(len(law.predictors) for law in laws)])
    normal = np.array([law.normal for law in laws])
    settings = np.zeros((K, max(1, *(law.settings.size for law in laws))))
    for row, law in zip(settings, laws, strict=True):
        row[: law.settings.size] = law.settings
    return Predictors(
        columns=columns,
        features=seen,
        width=width,
        first=first.astype(np.int64),
        address=np.array([address_of(law.kernel, LAW) for law in laws], dtype=np.int64),
        settings=settings,
        mean=np.where(normal, first[:-1], -1).astype(np.int64),
        scale=np.where(normal, first[:-1] + 1, -1).astype(np.int64),
    )
