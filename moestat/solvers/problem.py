"""Maximise the log-likelihood: the passes, the box, what is held and what leaves the density unchanged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.bounds import Bounds, Box, box_of
from moestat.charts import Chart
from moestat.coordinates import Affine, ColumnMap
from moestat.data import BlockSource
from moestat.directions import fine_units, row_space, supported_directions
from moestat.errors import InputError
from moestat.model import MixtureOfExperts, log_jacobian
from moestat.params import Layout
from moestat.passes import Passes
from moestat.terms import Terms
from moestat.typing import BoolArray, FloatArray

#: So near to the limit of a chart, in log tau, a maximum is no longer told from the limit: what the rows say about tau
#: is of the order of tau^4, or tau^2 for more than two experts, and its curvature is lost in rounding.
NEAR_LIMIT = np.log(10.0)


@dataclass(frozen=True)
class Problem:
    """A model on a prepared source, in unconstrained parameters and working coordinates.

    Parameters
    ----------
    passes : Passes
    layout : Layout
    lower, upper : ndarray (P,)
        Box of the unconstrained parameters (infinite where there is none): the user's bounds and the floors.
    floors : ndarray (P,)
        Floors that keep the likelihood finite; minus infinity where the user's own bound lies higher.
    free : ndarray of bool (P,)
        False where the model holds a parameter.
    held : ndarray (P,)
        Values of the held parameters.
    null : ndarray (r, P)
        Directions that linearly related covariates leave open: no row tells them from zero.
    chart : Chart
        Coordinates of Newton's steps: the gate's, unless what is held or bounded forbids.
    ties : ndarray (t, P)
        Gradients of what is held on its way up: margins by which rows keep their experts (see `moestat.solvers.ties`).
    """

    passes: Passes
    layout: Layout
    lower: FloatArray
    upper: FloatArray
    floors: FloatArray
    free: BoolArray
    held: FloatArray
    null: FloatArray
    chart: Chart
    ties: FloatArray

    @staticmethod
    def of(model: MixtureOfExperts, source: BlockSource, bounds: Bounds | None = None) -> Problem:
        """The problem of fitting a model to a prepared source, inside checked bounds (see `moestat.bounds`)."""
        schema, coordinates = source.schema, source.coordinates
        passes = model.passes(source)
        terms = passes.terms
        holding = model.holding(schema, coordinates)
        box = box_of(model, schema, coordinates, bounds or {})
        spread = source.moments.y.scale / coordinates.y.scale  # of the response, in working units
        floors = np.full(terms.size, -np.inf)
        reach = _spread(source.moments.Z, coordinates.Z)
        floors[: terms.n_gate] = terms.gate.lower_bounds(terms.gate_layout, reach)
        floors[terms.n_gate :] = terms.expert.lower_bounds(terms.expert_layout, spread, terms.n_experts == 1)
        chart = _chart(terms, holding.free & ~np.isfinite(box.lower) & ~np.isfinite(box.upper))
        floors[chart.driver] = max(floors[chart.driver], chart.least)
        floors[~holding.free] = -np.inf
        _check_against_floors(terms.layout, floors, box)
        return Problem(
            passes,
            terms.layout,
            lower=np.maximum(floors, box.lower),
            upper=box.upper,
            floors=np.where(floors > box.lower, floors, -np.inf),
            free=holding.free,
            held=holding.values,
            null=model.null_directions(schema, coordinates),
            chart=chart,
            ties=np.zeros((0, terms.size)),
        )

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights, the number of rows."""
        return self.passes.source.total_weight

    @property
    def shift(self) -> float:
        """What turns a log-likelihood in working units of the response into one of the raw response."""
        return log_jacobian(self.passes.source, joint=not self.passes.terms.gate.normalised)

    @property
    def weight_of_a_row(self) -> float:
        """What counts as one row: a weight of one, as weights are frequencies, or their mean where that is less."""
        return min(1.0, self.total_weight / self.passes.source.n_rows)

    def admit(self, theta: FloatArray) -> FloatArray:
        """The nearest admissible point: inside the box, held entries at their values."""
        return np.where(self.free, np.clip(theta, self.lower, self.upper), self.held)

    def move(self, theta: FloatArray, step: FloatArray) -> FloatArray:
        """Where a step in the chart's coordinates leads; it may lie outside the box."""
        return self.chart.move(theta, step)

    def steepness(self, theta: FloatArray, score: FloatArray, unit: FloatArray) -> float:
        """Infinity norm of the projected score per row in the chart's coordinates, in these units."""
        return self.gradient_norm(theta, self.chart.score(theta, score), unit)

    def move_inside(self, theta: FloatArray, step: FloatArray) -> FloatArray:
        """The same, moved into the box; what the chart's coordinates hang on ends its step there."""
        if self.chart.bent:
            driver = np.arange(theta.size) == self.chart.driver
            step = np.where(driver, np.clip(step, self.lower - theta, self.upper - theta), step)
        return self.admit(self.move(theta, step))

    def admits(self, theta: FloatArray) -> bool:
        """Whether a point is admissible."""
        return bool(np.array_equal(self.admit(theta), theta))

    def movable(self, theta: FloatArray, score: FloatArray) -> BoolArray:
        """Parameters that an ascent may move: free, and not pushed against their bound."""
        blocked = ((theta <= self.lower) & (score < 0)) | ((theta >= self.upper) & (score > 0))
        return self.free & ~blocked

    def projected(self, theta: FloatArray, score: FloatArray) -> FloatArray:
        """Score per row along the admissible directions, zero for held parameters and active bounds."""
        movable = self.movable(theta, score)
        along = np.where(movable, score, 0.0)
        if len(self.ties):
            held = row_space(np.where(movable, self.ties, 0.0))
            along = along - held.T @ (held @ along)
        return along / self.total_weight

    def gradient_norm(self, theta: FloatArray, score: FloatArray, unit: FloatArray | float = 1.0) -> float:
        """Infinity norm of the projected score per row, parameters in these units."""
        return float(np.abs(unit * self.projected(theta, score)).max(initial=0.0))

    def unit(self, hessian: FloatArray) -> FloatArray:
        """Units in which scores are judged; see `directions.fine_units`."""
        return fine_units(hessian, self.total_weight)

    def active(self, theta: FloatArray) -> BoolArray:
        """Parameters at a bound."""
        return self.free & ((theta <= self.lower) | (theta >= self.upper))

    def on_floor(self, theta: FloatArray) -> BoolArray:
        """Parameters on a floor that the user did not ask for."""
        return self.free & (theta <= self.floors)

    def near_limit(self, theta: FloatArray) -> BoolArray:
        """The logarithm that leads to the gate's limit, where it is as good as on its floor."""
        driver = (np.arange(theta.size) == self.chart.driver) & self.chart.limited
        near: BoolArray = driver & self.free & (theta <= self.floors + NEAR_LIMIT)
        return near

    def invariances(self, theta: FloatArray, movable: BoolArray) -> FloatArray:
        """Orthonormal directions (r, P) among the movable parameters that leave every row's density unchanged."""
        return supported_directions(np.vstack([self.passes.terms.invariances(theta), self.null]), movable)

    def aside(self, theta: FloatArray, movable: BoolArray, unit: FloatArray) -> FloatArray:
        """Directions (r, P) in these units that no step takes: invariances, and off the ties that are held."""
        invariances = self.chart.steps(theta, self.invariances(theta, movable)) / unit
        if not len(self.ties):
            return invariances
        return np.vstack([invariances, row_space(np.where(movable, self.ties * unit, 0.0))])

    def declared(self, theta: FloatArray, movable: BoolArray) -> tuple[int, tuple[str, ...]]:
        """Number of these that the gate declares whatever the covariates, and those it has words for."""
        terms = self.passes.terms
        if terms.n_experts == 1:
            return 0, ()  # there is no gate to speak of
        directions = terms.invariances(theta)
        inside = (directions[:, ~movable] == 0).all(axis=1)
        names = (name for name, free in zip(terms.invariance_names(theta), inside, strict=True) if free)
        return len(supported_directions(directions, movable)), tuple(names)


def _chart(terms: Terms, open_ended: BoolArray) -> Chart:
    """The gate's chart where all parameters that it concerns are free and without a wall."""
    chart = terms.chart
    return chart if open_ended[chart.concerns].all() else Chart.straight(terms.size)


def _spread(moments: ColumnMap, coordinates: ColumnMap) -> FloatArray:
    """Near the standard deviations of columns in working units; combinations of columns have unit ones."""
    if isinstance(moments, Affine) and isinstance(coordinates, Affine):
        return np.asarray(moments.scale / coordinates.scale)
    return np.ones(coordinates.size)


def _check_against_floors(layout: Layout, floors: FloatArray, box: Box) -> None:
    """A variance cannot be bounded by less than double precision tells from zero."""
    for path, slot, start in layout.leaves():
        part = slice(start, start + slot.size)
        if (box.upper[part] < floors[part]).any():
            raise InputError(
                f"bounds[{path!r}] end below the smallest value that the data allow (about 1e-10 of the response's "
                "variance). Raise the upper end."
            )
