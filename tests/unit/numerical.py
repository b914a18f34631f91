"""Derivatives of a fitted likelihood by differences, in raw units and in parameters without redundancy."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from tests.unit.fitted import Fitted

#: Step of finite differences in standard errors: small against the curvature, large against rounding.
STEP = 0.02


class RawCoordinates:
    """The estimated parameters in raw units as one free vector: no reference row in the gate, variances as logs."""

    def __init__(self, case: Fitted) -> None:
        self.case = case
        self.leaves = list(_leaves(case.results.params))
        fixed = case.model.fixed or {}
        self.start = np.concatenate([np.ravel(_free(path, a)) for path, a in self.leaves])
        self.estimated = np.concatenate([_estimated(path, a, fixed).ravel() for path, a in self.leaves])

    def params(self, vector):
        flat = self.start.copy()
        flat[self.estimated] = vector
        pieces = np.split(flat, np.cumsum([a.size for _, a in self.leaves])[:-1])
        named = zip(self.leaves, pieces, strict=True)
        values = {path: _natural(path, v).reshape(a.shape) for (path, a), v in named}
        return _rebuilt(self.case.results.params, values)

    @cached_property
    def centre(self):
        return self.start[self.estimated]

    @cached_property
    def slope(self):
        """d natural / d free: the variances themselves, one elsewhere."""
        named = [np.ravel(a if "variance" in path[-1] else np.ones_like(a)) for path, a in self.leaves]
        return np.concatenate(named)[self.estimated]

    @cached_property
    def axes(self):
        """Directions in which the reported covariance is the identity: differences along them cancel least."""
        free = self.case.results.cov_params().to_numpy() / np.outer(self.slope, self.slope)
        return np.linalg.cholesky(free)

    def loglik(self, vector):
        X, y, Z = self.case.arrays
        return self.case.model.loglik(self.params(vector), X, y, Z)

    def rows(self, vector):
        """log p of each row."""
        X, y, Z = self.case.arrays
        return self.case.model.log_density(self.params(vector), X, y, Z)

    def mean(self, vector):
        X, _, Z = self.case.arrays
        return self.case.model.predict(self.params(vector), X[:5], None if Z is None else Z[:5])

    def at(self, *moves):
        """The centre moved by steps (axis, size), in standard errors."""
        return self.centre + sum(size * self.axes[:, axis] for axis, size in moves)

    def derivatives(self, function):
        """Central differences (P, ...) along the axes, extrapolated once."""

        def central(i, h):
            return (function(self.at((i, h))) - function(self.at((i, -h)))) / (2 * h)

        return np.stack([(4 * central(i, STEP) - central(i, 2 * STEP)) / 3 for i in range(len(self.axes))])

    @cached_property
    def hessian(self):
        """Second differences of the log-likelihood along the axes, extrapolated once."""

        def central(i, j, h):
            corners = [((i, s * h), (j, t * h)) for s in (1, -1) for t in (1, -1)]
            return np.dot([1, -1, -1, 1], [self.loglik(self.at(*corner)) for corner in corners]) / (4 * h**2)

        pairs = [(i, j) for i in range(len(self.axes)) for j in range(i + 1)]
        out = np.empty((len(self.axes),) * 2)
        for i, j in pairs:
            out[i, j] = out[j, i] = (4 * central(i, j, STEP) - central(i, j, 2 * STEP)) / 3
        return out

    def covariance(self, kind):
        """Of the natural parameters."""
        scores = self.derivatives(self.rows)
        meat = scores @ scores.T
        bread = np.linalg.inv(-self.hessian)
        along = {"observed": bread, "opg": np.linalg.inv(meat), "sandwich": bread @ meat @ bread}[kind]
        to_natural = self.slope[:, None] * self.axes
        return to_natural @ along @ to_natural.T

    def standard_error(self, function, covariance):
        """Of a function of the parameters, by the delta method."""
        gradient = self.derivatives(function)
        to_axes = np.linalg.inv(self.slope[:, None] * self.axes)
        along = to_axes @ covariance @ to_axes.T
        return np.sqrt(np.einsum("p...,pq,q...->...", gradient, along, gradient))


def _leaves(record, path=()):
    """(path, array) of every field of nested records, in the order of declaration."""
    if isinstance(record, tuple):
        for i, member in enumerate(record):
            yield from _leaves(member, (*path, i))
    elif dataclasses.is_dataclass(record):
        for f in dataclasses.fields(record):
            yield from _leaves(getattr(record, f.name), (*path, f.name))
    else:
        yield path, record


def _rebuilt(record, values, path=()):
    if isinstance(record, tuple):
        return tuple(_rebuilt(member, values, (*path, i)) for i, member in enumerate(record))
    if not dataclasses.is_dataclass(record):
        return values[path]
    fields = [f.name for f in dataclasses.fields(record)]
    return type(record)(**{name: _rebuilt(getattr(record, name), values, (*path, name)) for name in fields})


def _free(path, array):
    return np.log(array) if "variance" in path[-1] else array


def _natural(path, values):
    return np.exp(values) if "variance" in path[-1] else values


def _estimated(path, array, fixed):
    kept = np.full(array.shape, ".".join(map(str, path)) not in fixed)
    if path[0] == "gate":
        kept[-1] = False
    return kept
