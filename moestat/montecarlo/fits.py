"""What is fitted to every data set: models, each with its parameter space and its objective; or a grid of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from moestat.bounds import Bounds, check_bounds
from moestat.data import Data, Schema
from moestat.errors import InputError
from moestat.expressions import spoken_experts, write
from moestat.model import MixtureOfExperts
from moestat.montecarlo.canonical import digest_of, floats
from moestat.montecarlo.reading import Table, at, shown, whole
from moestat.montecarlo.truth import plain_model
from moestat.objectives import OBJECTIVES
from moestat.predictor_form import raw_units
from moestat.prepared import Prepared
from moestat.typing import FloatArray

#: Keys that may hold a list of alternatives instead of a value, and what stands for one that is not there.
GRID: dict[str, Any] = {"n_experts": 2, "gate": "softmax", "expert": "gaussian", "objective": "likelihood"}

#: More models from one grid are a mistake.
MOST = 1000


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model that is fitted, and where its parameters may lie.

    Parameters
    ----------
    name : str
    model : MixtureOfExperts
    bounds : mapping, optional
        As of `moestat.fit`: the bounded parameter space that theorems speak of.
    objective : {"likelihood", "least_squares"}
    losses : tuple of str, optional
        Losses to record of this model, where they are not those of the study.
    """

    name: str
    model: MixtureOfExperts
    bounds: Mapping[str, Any] | None = None
    objective: str = "likelihood"
    losses: tuple[str, ...] | None = None
    _schemas: dict[Schema, Prepared] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what was prepared: compiled code belongs to one process."""
        return FittedModel, (self.name, self.model, self.bounds, self.objective, self.losses)

    @property
    def words(self) -> str:
        """Its components: ``softmax, 3 x gaussian``."""
        return f"{write(self.model.gate)}, {spoken_experts(self.model.expert, self.model.n_experts)}"

    @cached_property
    def plain(self) -> dict[str, Any]:
        """What the estimates depend on."""
        found = {"name": self.name, "objective": self.objective} | plain_model(self.model)
        return found | ({"bounds": floats(dict(self.bounds))} if self.bounds else {})

    @cached_property
    def digest(self) -> str:
        """Of what the estimates depend on."""
        return digest_of(self.plain)

    def check(self, schema: Schema) -> None:
        """Refuse bounds and held values that the model cannot have on such data."""
        checked = self.checked_bounds(schema)
        self.model.holding(schema, raw_units(schema))
        OBJECTIVES[self.objective].model(self.model).check_fields(
            schema, {"fixed": self.model.fixed or {}, "bounds": checked}
        )

    def checked_bounds(self, schema: Schema) -> Bounds:
        """Lower and upper ends of the bounded fields."""
        return check_bounds(self.model, schema, self.bounds)

    def prepared(self, schema: Schema) -> Prepared:
        """The model ready for many fits to data with these columns."""
        if schema not in self._schemas:
            self._schemas[schema] = Prepared(self.model, schema, True, self.checked_bounds(schema))
        return self._schemas[schema]

    def rows(self, X: FloatArray, y: FloatArray, schema: Schema) -> Data:
        """Data for this model; the classes are those of the truth, seen or not."""
        labels = y if schema.classes is None else np.asarray(y, dtype=np.int64)
        return Data(X, labels, categorical=self.model.expert.categorical, classes=schema.classes)


def read_fits(tables: list[Table]) -> tuple[FittedModel, ...]:
    """The models of the tables ``[[fit]]``, grids written out."""
    found = [fitted for table in tables for fitted in _expanded(table)]
    names = [fitted.name for fitted in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"fit: two models are called {name!r}. Give each its own name.")
    return tuple(found)


def _expanded(table: Table) -> list[FittedModel]:
    given = {key: table.take(key, default) for key, default in GRID.items()}
    boxes = table.numbers("bounds", None, infinite=True)
    fixed = table.numbers("fixed", None)
    losses = table.texts("losses") if table.has("losses") else None
    axes: dict[str, list[Any]] = {k: v if isinstance(v, list) else [v] for k, v in given.items()}
    axes["bounds"] = boxes if isinstance(boxes, list) else [boxes]
    varying = [key for key, values in axes.items() if len(values) > 1]
    for key, values in axes.items():
        if not values:
            raise InputError(f"{table.at(key)} is an empty list: name one value at least.")
    name = table.word("name", "")
    table.done()
    n_combinations = int(np.prod([len(values) for values in axes.values()]))
    if n_combinations > MOST:
        raise InputError(f"{table.path} stands for {n_combinations} models; at most {MOST} are taken.")
    combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return [_one(table, name, chosen, varying, i, fixed, losses) for i, chosen in enumerate(combinations)]


def _one(
    table: Table,
    name: str,
    chosen: dict[str, Any],
    varying: list[str],
    number: int,
    fixed: Any,
    losses: tuple[str, ...] | None,
) -> FittedModel:
    for key in ("gate", "expert", "objective"):
        if not isinstance(chosen[key], str):
            raise InputError(f"{table.at(key)} must be text, or a list of texts; got {shown(chosen[key])}.")
    n_experts = whole(chosen["n_experts"], table.at("n_experts"), 1, 100)
    if chosen["objective"] not in OBJECTIVES:
        raise InputError(
            f"{table.at('objective')} must be one of {list(OBJECTIVES)}; got {shown(chosen['objective'])}."
        )
    with at(table.path):
        model = MixtureOfExperts(gate=chosen["gate"], expert=chosen["expert"], n_experts=n_experts, fixed=fixed)
    bounds = _box(chosen["bounds"], table.at("bounds"))
    return FittedModel(_name(name, chosen, varying, number), model, bounds, chosen["objective"], losses)


def _name(name: str, chosen: dict[str, Any], varying: list[str], number: int) -> str:
    """The name in the file, with what varies in a grid behind it; K and the number where there is none."""
    if not varying:
        return name or f"K{chosen['n_experts']}"
    parts = [f"K{chosen['n_experts']}" if key == "n_experts" else f"{key}{number + 1}" for key in varying]
    if varying == ["n_experts"] and not name:
        return parts[0]
    return "-".join([name, *parts] if name else parts)


def _box(value: Any, path: str) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value:
        raise InputError(
            f'{path} must be a table of fields and bounds, as {{ "gate.slopes" = 2.0 }}; got {shown(value)}.'
        )
    return {str(name): tuple(ends) if isinstance(ends, list) else ends for name, ends in value.items()}
