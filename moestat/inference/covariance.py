"""Covariance of the estimates, from the information modulo what the density does not determine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.linalg import null_space

from moestat.certificate import FLAT_TOLERANCE, Certificate, Status, in_words
from moestat.coordinates import Affine, Coordinates
from moestat.data import Schema
from moestat.design import deficiencies
from moestat.directions import complement, fine_units, row_space, supported_directions
from moestat.errors import InputError, NotIdentifiedError
from moestat.model import MixtureOfExperts
from moestat.params import Layout
from moestat.terms import Terms
from moestat.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Kind:
    """A covariance: the inverse of one matrix, or a sandwich of it around another.

    ``corrected`` multiplies by n / (n - p), for the p parameters that the residuals have been fitted with.
    """

    bread: str
    meat: str | None = None
    corrected: bool = False


#: Of likelihoods: inverse of the observed information, of the outer product of scores, or the sandwich of both.
KINDS = {"observed": Kind("information"), "opg": Kind("scores"), "sandwich": Kind("information", "scores")}

#: Of least squares: robust against unequal variances and a wrong mean, the same corrected, and for equal variances.
SQUARES_KINDS = {
    "sandwich": Kind("information", "scores"),
    "hc1": Kind("information", "scores", corrected=True),
    "classical": Kind("slopes", corrected=True),
}

#: Relations among covariates that are listed one by one; more are counted.
LISTED = 3

#: A parameter is said to lie along a flat direction when its loading exceeds this.
LOADING_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Information:
    """Hessian and outer product of scores at the estimates, and how to read them in the user's units.

    Parameters
    ----------
    model : MixtureOfExperts
    schema : Schema
    coordinates : Coordinates
    theta : ndarray (P,)
        Estimates, unconstrained, in working coordinates.
    hessian, outer : ndarray (P, P)
        Second derivatives and sum of weight * score score', sums over rows.
    certificate : Certificate
    slopes : ndarray (P, P), optional
        Of least squares: sum of weight * dm dm', divided by the mean square of the residuals.
    kinds : mapping
        The covariances there are, by name; the first is the one that is meant when nothing is said.
    """

    model: MixtureOfExperts
    schema: Schema
    coordinates: Coordinates
    theta: FloatArray
    hessian: FloatArray
    outer: FloatArray
    certificate: Certificate
    slopes: FloatArray | None = None
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)

    @cached_property
    def layout(self) -> Layout:
        return self.model.layout(self.schema)

    @cached_property
    def movable(self) -> BoolArray:
        return self.certificate.optimum.movable

    @cached_property
    def _invariances(self) -> FloatArray:
        """Orthonormal rows (r, P): declared invariances among the movable parameters."""
        return supported_directions(self._terms.invariances(self.theta), self.movable)

    @cached_property
    def _null(self) -> FloatArray:
        """Directions (r, P) among the movable parameters that linearly related covariates leave open."""
        directions = self.model.null_directions(self.schema, self.coordinates)
        return directions[self._open]

    @cached_property
    def _open(self) -> BoolArray:
        """Which of those directions move no parameter that is held or on a floor."""
        directions = self.model.null_directions(self.schema, self.coordinates)
        return np.asarray((directions[:, ~self.movable] == 0.0).all(axis=1))

    @cached_property
    def _lost(self) -> FloatArray:
        """Flat directions (f, P) that the certificate found beyond these."""
        lost = np.vstack([self.certificate.optimum.lost, self._undetermined])
        return lost if not len(self._null) else _beyond(lost, self._null)

    @cached_property
    def _undetermined(self) -> FloatArray:
        """Invariances (u, P) that the canonical form does not settle: moves of a surface that reach no row, say."""
        directions, held = self._invariances, self._held
        if len(directions) <= len(held):
            return np.zeros((0, self.theta.size))
        return np.asarray(null_space(held @ directions.T).T @ directions)

    @cached_property
    def _held(self) -> FloatArray:
        """Gradients (c, P), among the movable parameters, of what the canonical form holds constant."""
        held = self._terms.constraints(self.theta)
        return np.asarray(held[(held[:, ~self.movable] == 0.0).all(axis=1)])

    @cached_property
    def _terms(self) -> Terms:
        return self.model.terms(self.schema, self.coordinates)

    @cached_property
    def pinned(self) -> IntArray:
        """Parameters that the canonical form holds at a constant (the reference expert's gate)."""
        index = self._terms.pinned
        return index[self.movable[index]]

    @cached_property
    def estimated(self) -> BoolArray:
        """Parameters with a standard error: neither held nor pinned."""
        held = ~self.model.holding(self.schema, self.coordinates).free
        out = ~held
        out[self.pinned] = False
        return out

    @cached_property
    def _basis(self) -> FloatArray:
        """Movable directions (P, m) that the data determine, in finer units where a row tells more than one."""
        unit = fine_units(self.hessian, self.certificate.n_rows)
        aside = np.vstack([self._invariances, self._lost])
        if len(self._null) or len(self._undetermined):
            aside = supported_directions(np.vstack([aside, self._null]), self.movable)
        held = row_space(np.where(self.movable, self.certificate.optimum.held * unit, 0.0))
        return unit[:, None] * complement(np.vstack([aside / unit, held]), self.movable)

    @cached_property
    def _to_user(self) -> FloatArray:
        """Derivative of the reported parameters in the working ones (P, P)."""
        slope = self.layout.jacobian(self.layout.pack(self._raw(self.theta)))
        return slope @ self._carry @ self._reference

    @cached_property
    def _carry(self) -> FloatArray:
        """Linear part of the map from working to raw unconstrained parameters, which is affine."""
        # without the response's location nothing cancels in the differences
        y = Affine(np.zeros_like(self.coordinates.y.location), self.coordinates.y.scale)
        centred = replace(self.coordinates, y=y)

        def raw(theta: FloatArray) -> FloatArray:
            return self.layout.pack(self.model.from_theta(theta, self.schema, centred))

        origin = raw(np.zeros(self.theta.size))
        return np.stack([raw(unit) - origin for unit in np.eye(self.theta.size)], axis=1)

    @cached_property
    def _reference(self) -> FloatArray:
        """Projection along the invariances onto the canonical form (P, P)."""
        identity = np.eye(self.theta.size)
        directions, held = self._invariances, self._held
        if len(self._undetermined):
            directions = _beyond(directions, self._undetermined)
        if not len(directions) or len(directions) != len(held):
            return identity
        return identity - directions.T @ np.linalg.solve(held @ directions.T, held)

    def _raw(self, theta: FloatArray) -> object:
        return self.model.from_theta(theta, self.schema, self.coordinates)

    # ------------------------------------------------------------------------------- covariance
    def covariance(self, kind: str | None = None, allow_singular: bool = False) -> FloatArray:
        """Covariance of the reported parameters in the user's units (P, P); zero for held and pinned ones.

        Raises
        ------
        NotIdentifiedError
            When a direction is flat or a floor is active, unless ``allow_singular``, which gives NaN for
            the parameters concerned.
        """
        scaled, size = self._scaled(kind, allow_singular)
        with np.errstate(over="ignore", under="ignore"):
            out = scaled * size[:, None] * size
        diagonal = np.diag(scaled)
        held = np.isfinite(np.diag(out)) & (np.diag(out) >= np.finfo(float).tiny)
        if (~held & (diagonal > 0)).any():
            raise InputError(
                "double precision cannot hold the covariances at this scale of the data. Use standard_errors or "
                "conf_int, which it can, or multiply the data by constants."
            )
        return out

    def standard_errors(self, kind: str | None = None, allow_singular: bool = False) -> FloatArray:
        """Standard errors of the reported parameters (P,), at any scale; as `covariance`."""
        scaled, size = self._scaled(kind, allow_singular)
        return np.asarray(size * np.sqrt(np.maximum(np.diag(scaled), 0.0)))

    def _scaled(self, kind: str | None, allow_singular: bool) -> tuple[FloatArray, FloatArray]:
        """Covariance of the reported parameters in units of their own sizes (P,), and these sizes."""
        inner, lost = self._inner(kind)
        if not allow_singular:
            self._refuse(lost, kind, related=bool(len(self._null)))
        to_user = self._to_user
        size = np.abs(to_user).max(axis=1, initial=0.0)
        size[size == 0.0] = 1.0
        scaled = to_user / size[:, None]
        out = scaled @ inner @ scaled.T
        affected = self._affected(lost)
        out[affected] = np.nan
        out[:, affected] = np.nan
        out[~self.estimated] = 0.0
        out[:, ~self.estimated] = 0.0
        return 0.5 * (out + out.T), size

    def check(self, kind: str | None) -> None:
        """Raise what `covariance` raises where the data do not determine every parameter."""
        self._scaled(kind, False)

    def working_covariance(self, jacobian: FloatArray, kind: str | None = None) -> FloatArray:
        """Covariance of theta (P, P), good for functions with this derivative (P, ...).

        Raises
        ------
        NotIdentifiedError
            When a function moves along a direction that the data do not determine, or a floor is active.
        """
        inner, lost = self._inner(kind)
        flat = jacobian.reshape(len(jacobian), -1)
        size = np.maximum(np.linalg.norm(flat, axis=0), 1e-300)
        seen, related = ((np.abs(rows @ flat) > LOADING_TOLERANCE * size).any(axis=1) for rows in (lost, self._null))
        self._refuse(lost[seen], kind, related=bool(related.any()))
        return inner

    def _inner(self, kind: str | None) -> tuple[FloatArray, FloatArray]:
        """Covariance of theta (P, P) and the flat directions (f, P), but for linearly related covariates."""
        chosen = self.kinds[self.kind_named(kind)]
        inner, more = self._inverse(self._along_basis(chosen.bread))
        if chosen.meat is not None:
            inner = inner @ self._along_basis(chosen.meat) @ inner
        if chosen.corrected:
            inner = inner * self._correction
        return self._basis @ inner @ self._basis.T, np.vstack([self._lost, more])

    def kind_named(self, kind: str | None) -> str:
        """The name of a covariance; that of the first one for None."""
        if kind is None:
            return next(iter(self.kinds))
        if not isinstance(kind, str) or kind not in self.kinds:
            raise InputError(f"the kind of covariance must be one of {list(self.kinds)}; got {kind!r}.")
        return str(kind)

    def _along_basis(self, name: str) -> FloatArray:
        """One of the matrices among the directions that the data determine."""
        matrix = -self.hessian if name == "information" else self.outer if name == "scores" else self.slopes
        assert matrix is not None
        return np.asarray(self._basis.T @ matrix @ self._basis)

    @property
    def _correction(self) -> float:
        """n / (n - p)."""
        rows, left = self.certificate.n_rows, self.certificate.n_rows - self.certificate.optimum.n_identified
        if left <= 0:
            raise InputError(
                f"there are {rows:g} rows for {rows - left:g} parameters, so the residuals say nothing about their "
                "variance. Bring more rows, or use fewer experts or covariates."
            )
        return float(rows / left)

    def _inverse(self, matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Inverse on the part where the matrix is positive definite, and the remaining directions (f, P)."""
        eigenvalues, vectors = np.linalg.eigh(matrix)
        kept = eigenvalues > FLAT_TOLERANCE * max(float(np.abs(eigenvalues).max(initial=0.0)), 1e-300)
        inverse = (vectors[:, kept] / eigenvalues[kept]) @ vectors[:, kept].T
        rest = (self._basis @ vectors[:, ~kept]).T
        return inverse, rest / np.linalg.norm(rest, axis=1, keepdims=True)

    def _affected(self, lost: FloatArray) -> BoolArray:
        """Parameters with a part along a flat direction, or on a floor."""
        affected = ~self.movable & self.estimated
        if len(self._null):
            raw = self.model.null_directions(self.schema, self.coordinates, raw=True)
            affected |= (raw[self._open] != 0.0).any(axis=0)
        if len(lost):
            loading = np.abs(self._to_user @ lost.T)
            size = np.linalg.norm(self._to_user, axis=1, keepdims=True)
            affected |= (loading > LOADING_TOLERANCE * np.maximum(size, 1e-300)).any(axis=1)
        if self.certificate.optimum.towards:
            affected |= self._to_user[:, self._terms.chart.moves].any(axis=1)
        return affected

    def _refuse(self, lost: FloatArray, kind: str | None, related: bool) -> None:
        optimum, measure = self.certificate.optimum, self.certificate.measure
        reasons = []
        if related:
            found = deficiencies(self.schema, self.coordinates)
            more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
            reasons.append(f"linearly related covariates: {'; '.join(map(str, found[:LISTED]))}{more}")
        if len(lost) > len(self._lost) and optimum.status in (Status.SADDLE, Status.NOT_CONVERGED):
            reasons.append(f"the fit did not end at a {measure.optimum}: {measure.kind(optimum.status)}")
        if optimum.floors:
            reasons.append(f"on the variance floor: {', '.join(optimum.floors)}")
        if optimum.bounds:
            reasons.append(f"held back by the bounds: {', '.join(optimum.bounds)}")
        if len(self._undetermined):
            _, moves = self._terms.gate.invariances(self._terms.gate_layout, self.theta[: self._terms.n_gate])
            reasons.append(f"the gate is known only up to {moves[0]}")
            lost = _beyond(lost, self._undetermined)
        if len(lost):
            names = self.model.names(self.schema)
            words = "; ".join(in_words(direction / np.linalg.norm(direction), names) for direction in lost)
            reasons.append(f"{len(lost)} flat direction{'s' if len(lost) > 1 else ''}: {words}")
        if reasons:
            raise NotIdentifiedError(
                f"the {self.kind_named(kind)} covariance does not exist, because the data do not determine every "
                f"parameter ({'. '.join(reasons)}). Fit fewer experts or covariates; cov_params, standard_errors and "
                "conf_int take allow_singular=True, which gives NaN for the parameters concerned and keeps the others."
            )


def _beyond(directions: FloatArray, known: FloatArray) -> FloatArray:
    """Orthonormal rows that span, together with the known directions, what both span."""
    basis = np.linalg.qr(known.T)[0].T
    rest = directions - directions @ basis.T @ basis
    _, size, rows = np.linalg.svd(rest, full_matrices=False)
    return np.asarray(rows[size > LOADING_TOLERANCE])
