"""Many fits of one model: prepared once, then compiled from the data to the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.bounds import Bounds, box_of, check_bounds
from moestat.certificate import Status, examine
from moestat.certificate.examine import SATURATED
from moestat.data import Data, Schema
from moestat.errors import InputError
from moestat.fitting import fit
from moestat.kernels import many_fits, verdict, whole_fit
from moestat.model import MixtureOfExperts, MoEParams
from moestat.params import Layout
from moestat.predictor_form import PredictorForm, predictor_form, raw_units
from moestat.representative import canonical
from moestat.results import Results
from moestat.solvers import Problem, default_solver, solve
from moestat.threads import in_order
from moestat.typing import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

#: Rows of the data sets that are fitted between two looks at the keyboard, and that a thread takes at once.
PART_ROWS = 200_000

#: Beyond this a positive parameter is no number.
LARGEST_LOGARITHM = 700.0

#: What compiled code says of an end point, as the certificate says it.
STATUS = {
    verdict.STRICT_MAXIMUM: Status.STRICT_MAXIMUM,
    verdict.AT_BOUND: Status.AT_BOUND,
    verdict.AT_FLOOR: Status.AT_FLOOR,
    verdict.SPIKE: Status.SPIKE,
    verdict.FLAT_MAXIMUM: Status.FLAT_MAXIMUM,
    verdict.RUNAWAY: Status.RUNAWAY,
    verdict.SADDLE: Status.SADDLE,
}


@dataclass(frozen=True, eq=False)
class Ends:
    """Where fits of one model to R data sets ended, each from S starts.

    Parameters
    ----------
    model : MixtureOfExperts
    schema : Schema
    theta : ndarray (R, S, P)
        Parameters in the user's units, unconstrained (logarithms of variances), experts by decreasing mass.
    loglik : ndarray (R, S)
        Log-likelihoods: sums over rows, in nats and in the units of the response.
    status : ndarray (R, S) of `Status`
        The kind of point, from the Hessian over all rows.
    gradient : ndarray (R, S)
        Infinity norm of the score per row, in standardised coordinates; what a certificate calls its gradient.
    smallest_eigenvalue : ndarray (R, S)
        Of the information per row, modulo invariances and active bounds.
    mass : ndarray (R, S, K)
        Expected number of rows of each expert.
    n_iter : ndarray (R, S)
        Steps of EM and of Newton's method.
    compiled : ndarray (R, S) of bool
        Whether compiled code came to the verdict; otherwise the way of `moestat.fit` did, from where that had come.
    """

    model: MixtureOfExperts
    schema: Schema
    theta: FloatArray
    loglik: FloatArray
    status: AnyArray
    gradient: FloatArray
    smallest_eigenvalue: FloatArray
    mass: FloatArray
    n_iter: IntArray
    compiled: BoolArray

    @property
    def n_fits(self) -> int:
        """Number of data sets."""
        return len(self.loglik)

    @property
    def best(self) -> IntArray:
        """The start (R,) of each data set's preferred end: the best kind of point, there the highest likelihood."""
        rank = np.vectorize(lambda status: status.rank, otypes=[np.int64])(self.status)
        level = np.where(rank == rank.min(axis=1, keepdims=True), self.loglik, -np.inf)
        return np.asarray(level.argmax(axis=1))

    def params(self, number: int, start: int | None = None) -> MoEParams:
        """Parameters of one data set in the user's units, of its preferred start when none is named."""
        at = int(self.best[number]) if start is None else start
        return self.model.layout(self.schema).unpack(self.theta[number, at])  # type: ignore[no-any-return]

    def natural(self) -> FloatArray:
        """Parameters (R, S, P) in the user's units: variances, not their logarithms."""
        layout = self.model.layout(self.schema)
        return np.array([[layout.natural(theta) for theta in row] for row in self.theta]).reshape(self.theta.shape)

    def to_frame(self) -> pd.DataFrame:
        """One row per data set: its preferred end, with a column for each parameter in the user's units."""
        import pandas as pd

        rows = np.arange(self.n_fits), self.best
        numbers = {
            "loglik": self.loglik[rows],
            "status": [status.value for status in self.status[rows]],
            "gradient": self.gradient[rows],
            "smallest_eigenvalue": self.smallest_eigenvalue[rows],
            "n_iter": self.n_iter[rows],
            "start": self.best,
        }
        natural = self.natural()[rows]
        return pd.DataFrame(numbers | dict(zip(self.model.names(self.schema), natural.T, strict=True)))


@dataclass(frozen=True, eq=False)
class End:
    """Where one fit ended; `results` makes `moestat.fit`'s results of it.

    Parameters
    ----------
    params : MoEParams
        In the user's units.
    loglik, gradient, smallest_eigenvalue, n_iter, mass
        As of `Ends`.
    status : Status
    """

    params: MoEParams
    loglik: float
    status: Status
    gradient: float
    smallest_eigenvalue: float
    n_iter: int
    mass: FloatArray


class Prepared:
    """A model and the columns of its data, made ready for many fits; see `prepare`."""

    def __init__(self, model: MixtureOfExperts, schema: Schema, same: bool, bounds: Bounds) -> None:
        self.model = model
        self.schema = schema
        self.bounds = bounds
        self._same = same
        self._layout: Layout = model.layout(schema)
        box = box_of(model, schema, raw_units(schema), bounds)
        self._lower, self._upper = box.lower, box.upper
        self._form: PredictorForm | None = predictor_form(model, schema, bounds, same)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by what it was made of: addresses of compiled code belong to one process."""
        return Prepared, (self.model, self.schema, self._same, self.bounds)

    def __repr__(self) -> str:
        way = "compiled" if self.compiled else "by the general way"
        return f"Prepared({self.model!r}, {way})"

    @property
    def compiled(self) -> bool:
        """Whether whole fits run as compiled code; other models are fitted as `moestat.fit` does it."""
        return self._form is not None

    @property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """Ends (P,) of the bounds: lower, upper; unconstrained, in the user's units, infinite where there are none."""
        return self._lower, self._upper

    def fit(self, X: Any, y: Any, Z: Any = None, *, start: Any, sample_weight: Any = None, offset: Any = None) -> End:
        """Fit one data set from one start.

        Parameters
        ----------
        X, y, Z, sample_weight, offset : array-like
            As of `moestat.fit`.
        start : MoEParams or array-like (P,)
            Parameters, or the same as a vector of `Layout.pack`.

        Returns
        -------
        End
        """
        X = None if X is None else numbers("X", self._in_order("X", X, self.schema.features))
        Z = None if Z is None else numbers("Z", self._in_order("Z", Z, self.schema.gate_features))
        X, Z = (rows if rows is None else rows[None] if rows.ndim == 2 else rows[None, :, None] for rows in (X, Z))
        ends = self.fit_many(X, np.asarray(y)[None], Z, start=start, sample_weight=sample_weight, offset=offset)
        return End(
            params=self._layout.unpack(ends.theta[0, 0]),
            loglik=float(ends.loglik[0, 0]),
            status=ends.status[0, 0],
            gradient=float(ends.gradient[0, 0]),
            smallest_eigenvalue=float(ends.smallest_eigenvalue[0, 0]),
            n_iter=int(ends.n_iter[0, 0]),
            mass=ends.mass[0, 0],
        )

    def results(
        self, X: Any, y: Any, Z: Any = None, *, end: End, sample_weight: Any = None, offset: Any = None
    ) -> Results:
        """The results of `moestat.fit` from where a fit ended: standard errors, predictions, pictures."""
        categorical, classes = self.model.expert.categorical, self.schema.classes
        rows = Data(X, y, Z, sample_weight, offset=offset, categorical=categorical, classes=classes)
        return fit(self.model, rows, start=end.params, bounds=dict(self.bounds) or None)

    def fit_many(
        self, X: Any, y: Any, Z: Any = None, *, start: Any, sample_weight: Any = None, offset: Any = None
    ) -> Ends:
        """Fit R data sets of n rows each, every one from the same number of starts.

        Parameters
        ----------
        X : array-like (R, n, d), (R, n) or (n, d)
            Covariates; two axes are those of one covariate when the first is R, else of rows that all data sets share.
        y : array-like (R, n) or (R, n, m)
        Z : array-like, optional
            Covariates of the gate, as X.
        start : MoEParams, sequence of them, or array-like (S, P) or (R, S, P)
            Starts for all data sets, or for each of its own; arrays are vectors of `Layout.pack`, unconstrained
            parameters in the user's units.
        sample_weight, offset : array-like (n,) or (R, n), optional

        Returns
        -------
        Ends

        Raises
        ------
        InputError
            For shapes that do not agree, and for data that `moestat.fit` would refuse; the message names the data set.
        """
        y = self._responses(y)
        R, n = y.shape[:2]
        self.model.expert.check_known(offset=offset is not None, exposure=False)
        X, Z = self._covariates("X", X, R, n, len(self.schema.features)), self._gate_covariates(Z, R, n)
        weight = _of_rows("sample_weight", sample_weight, R, n, 1.0)
        known = _of_rows("offset", offset, R, n, 0.0)
        starts = self._starts(start, R)
        S, P, K = starts.shape[1], self._layout.size, self.model.n_experts
        theta = np.empty((R, S, P))
        found = many_fits.Found(theta, np.full((R, S, many_fits.N_NUMBERS), np.nan), np.empty((R, S, K)))
        if self._form is None or (sample_weight is not None and not (weight > 0).all()):
            theta[:] = starts
            found.numbers[:, :, many_fits.KIND] = verdict.OPEN
        else:
            form = self._form
            together = np.ascontiguousarray(form.columns(X, Z))
            for _ in in_order(partial(_fit_part, form, together, y, known, weight, starts, found), _parts(R, n)):
                pass  # an interruption ends here, between two parts
        return self._judged(X, y, Z, weight, known if offset is not None else None, found)

    # ------------------------------------------------------------------------------- arguments
    def _responses(self, given: Any) -> FloatArray:
        y: FloatArray = self._codes(np.asarray(given)) if self.schema.classes is not None else numbers("y", given)
        y = y[..., None] if y.ndim == 2 else y
        m = len(self.schema.responses)
        if y.ndim != 3 or y.shape[2] != m or not y.shape[0] or not y.shape[1]:
            wanted = "(R, n)" if m == 1 else f"(R, n, {m})"
            raise InputError(f"y must have shape {wanted}: R data sets of n rows, one at least; got {np.shape(given)}.")
        return y

    def _codes(self, y: AnyArray) -> FloatArray:
        """Numbers of the classes."""
        code = np.full(y.shape, -1.0)
        for number, label in enumerate(self.schema.classes or ()):
            code[y == label] = number
        if (code < 0).any():
            stranger = y[code < 0].ravel()[0]
            listed = np.asarray(self.schema.classes).tolist()
            raise InputError(f"y must hold the classes {listed} that the model was prepared for; got {stranger!r}.")
        return code

    @staticmethod
    def _in_order(name: str, columns: Any, wanted: tuple[str, ...]) -> Any:
        """A data frame's columns by their names, in the order that the model was prepared for."""
        names = getattr(columns, "columns", None)
        if names is None:
            return columns
        if sorted(map(str, names)) != sorted(wanted):
            raise InputError(f"{name} must have the columns {list(wanted)}; got {list(map(str, names))}.")
        return columns[[next(own for own in names if str(own) == one) for one in wanted]]

    def _covariates(self, name: str, given: Any, R: int, n: int, d: int) -> FloatArray:
        columns = np.zeros((1, n, 0)) if given is None and not d else numbers(name, given)
        if columns.ndim == 2:
            columns = columns[:, :, None] if d == 1 and columns.shape == (R, n) else columns[None]
        if columns.ndim != 3 or columns.shape[0] not in (1, R) or columns.shape[1:] != (n, d):
            raise InputError(
                f"{name} must have shape (R, n, {d}), or (n, {d}) for all data sets, with R={R} and n={n} of y; "
                f"got {columns.shape}."
            )
        return columns

    def _gate_covariates(self, Z: Any, R: int, n: int) -> FloatArray | None:
        if (Z is None) != self._same:
            raise InputError("Z must be given to fits exactly where it was given to prepare.")
        return None if Z is None else self._covariates("Z", Z, R, n, len(self.schema.gate_features))

    def _starts(self, start: Any, R: int) -> FloatArray:
        """(R, S, P) or (1, S, P)."""
        if isinstance(start, MoEParams):
            return self._inside(self._layout.pack(start)[None, None])
        if isinstance(start, Sequence) and start and all(isinstance(point, MoEParams) for point in start):
            return self._inside(np.array([self._layout.pack(point) for point in start])[None])
        return self._inside(self._packed(start, R))

    def _inside(self, starts: FloatArray) -> FloatArray:
        """The same starts, none of which lies outside the user's bounds."""
        outside = ((starts < self._lower) | (starts > self._upper)).any(axis=(0, 1))
        if outside.any():
            listed = ", ".join(np.array(self.model.names(self.schema))[outside])
            raise InputError(f"start lies outside the bounds in {listed}. Move the start inside, or widen the bounds.")
        return starts

    def _packed(self, start: Any, R: int) -> FloatArray:
        array = numbers("start", start)
        array = array.reshape((1,) * (3 - array.ndim) + array.shape) if array.ndim < 3 else array
        if array.ndim != 3 or array.shape[0] not in (1, R) or array.shape[2] != self._layout.size or not array.size:
            raise InputError(
                f"start must be parameters made by model.params(...), or an array (S, {self._layout.size}) or "
                f"({R}, S, {self._layout.size}) of packed ones; got shape {np.shape(start)}."
            )
        logarithms = array[..., self._layout.positive]
        if not np.isfinite(array).all() or (np.abs(logarithms) > LARGEST_LOGARITHM).any():
            raise InputError("start must be finite; pack it with `Layout.pack`, logarithms for positive fields.")
        return array

    # ------------------------------------------------------------------------------- verdicts
    def _judged(
        self,
        X: FloatArray,
        y: FloatArray,
        Z: FloatArray | None,
        weight: FloatArray,
        offset: FloatArray | None,
        found: many_fits.Found,
    ) -> Ends:
        """The verdicts of compiled code, and those of the general way where it left them open."""
        numbers = found.numbers
        kind = numbers[:, :, many_fits.KIND].astype(np.int64)
        if self.schema.classes is not None or self.model.expert.discrete:  # certain predictions hide a way to infinity
            kind[numbers[:, :, many_fits.LOGLIK] > -SATURATED * weight.sum(axis=1).max()] = verdict.OPEN
        status = np.empty(kind.shape, dtype=object)
        for code, name in STATUS.items():
            status[kind == code] = name
        ends = Ends(
            model=self.model,
            schema=self.schema,
            theta=found.theta,
            loglik=numbers[:, :, many_fits.LOGLIK].copy(),
            status=status,
            gradient=numbers[:, :, many_fits.GRADIENT].copy(),
            smallest_eigenvalue=numbers[:, :, many_fits.SMALLEST].copy(),
            mass=found.mass,
            n_iter=np.nan_to_num(numbers[:, :, many_fits.STEPS]).astype(np.int64),
            compiled=kind != verdict.OPEN,
        )
        unsettled = ~ends.compiled | (numbers[:, :, many_fits.REPRESENTED] == 0.0)
        for i in np.flatnonzero(unsettled.any(axis=1)):
            rows = [None if a is None else a[i if len(a) > 1 else 0] for a in (X, y, Z, weight, offset)]
            problem = self._problem(int(i), *rows)  # type: ignore[arg-type]
            for m in np.flatnonzero(unsettled[i]):
                self._settle(problem, ends, int(i), int(m))
        return ends

    def _problem(
        self,
        number: int,
        X: FloatArray,
        y: FloatArray,
        Z: FloatArray | None,
        weight: FloatArray,
        offset: FloatArray | None,
    ) -> Problem:
        classes = self.schema.classes
        labels = y if classes is None else np.asarray(classes)[y[:, 0].astype(np.int64)]
        try:
            rows = Data(
                X, labels, Z, weight, offset=offset, categorical=self.model.expert.categorical, classes=classes
            ).merged()
            return Problem.of(self.model, self.model.prepare(rows, bounded=tuple(self.bounds)), self.bounds)
        except InputError as error:
            raise InputError(f"data set {number}: {error}") from error

    def _settle(self, problem: Problem, ends: Ends, i: int, m: int) -> None:
        """Go on from where compiled code has come, and judge the end, as `moestat.fit` does."""
        source = problem.passes.source
        schema, coordinates = source.schema, source.coordinates
        theta = self.model.to_theta(self._layout.unpack(ends.theta[i, m]), schema, coordinates)
        if not ends.compiled[i, m]:
            try:
                solution = solve(problem, default_solver(problem), theta)
            except (np.linalg.LinAlgError, OverflowError, FloatingPointError):  # nothing can be computed from there
                ends.status[i, m], ends.loglik[i, m], ends.gradient[i, m] = Status.NOT_CONVERGED, -np.inf, np.inf
                return
            theta, ends.n_iter[i, m] = solution.theta, ends.n_iter[i, m] + solution.n_iter
        theta = canonical(problem, theta)
        ends.theta[i, m] = self._layout.pack(self.model.from_theta(theta, schema, coordinates))
        optimum, _ = examine(problem, theta, self.model.names(schema), problem.shift)
        ends.loglik[i, m], ends.status[i, m] = optimum.loglik, optimum.status
        ends.gradient[i, m], ends.mass[i, m] = optimum.gradient, optimum.masses
        ends.smallest_eigenvalue[i, m] = optimum.eigenvalues.min(initial=np.inf)


def numbers(name: str, value: Any) -> FloatArray:
    """An array of float64 in C order that may be written to: any other would be compiled for anew."""
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{name} must have no masked entries: leave rows out, or fill them in.")
    try:
        array = np.asarray(value)
        kind = array.dtype.kind
        if kind in "biuf" or (kind == "O" and not any(isinstance(x, str) for x in array.ravel())):
            return np.require(array, np.float64, ["C", "W"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers; {error}.") from error
    raise InputError(f"{name} must be an array of real numbers; got entries of type {array.dtype}.")


def _parts(R: int, n: int) -> list[slice]:
    """Data sets that are fitted in one go: about `PART_ROWS` rows."""
    size = max(1, PART_ROWS // n)
    return [slice(first, min(first + size, R)) for first in range(0, R, size)]


def _fit_part(
    form: PredictorForm,
    X: FloatArray,
    y: FloatArray,
    offset: FloatArray,
    weight: FloatArray,
    starts: FloatArray,
    found: many_fits.Found,
    part: slice,
) -> None:
    """Fit some of the data sets; what all share is not cut."""
    own = [rows[part] if len(rows) == len(y) else rows for rows in (X, offset, weight, starts)]
    mine = many_fits.Found(*(values[part] for values in found))
    X, offset, weight, starts = own
    many_fits.fit_sets(whole_fit.code(), form.predictors, form.task, X, y[part], offset, weight, starts, mine)


def _of_rows(name: str, value: Any, R: int, n: int, default: float) -> FloatArray:
    """Known numbers of rows, (R, n) or (1, n)."""
    if value is None:
        return np.full((1, n), default)
    rows = np.atleast_2d(numbers(name, value))
    if rows.ndim != 2 or rows.shape[0] not in (1, R) or rows.shape[1] != n:
        raise InputError(f"{name} must have shape ({n},) or ({R}, {n}); got {np.shape(value)}.")
    return rows


def prepare(
    model: MixtureOfExperts, X: Any, y: Any, Z: Any = None, *, bounds: Mapping[str, Any] | None = None
) -> Prepared:
    """Make a model ready for many fits to data with the same columns.

    A simulation study fits one model to thousands of small data sets. Each of these fits is then one compiled
    function, from the data to the verdict: it climbs as `moestat.fit` does from a start, to the same maximum, and costs
    a hundredth of the time. What needs a closer look, a flat ridge or a way to infinity, is handed
    over to the general way, and so are models whose gate or experts have no compiled law.

    Parameters
    ----------
    model : MixtureOfExperts
    X, y, Z : array-like
        One data set with the columns, and of class labels all the classes, that fits will have.
    bounds : mapping, optional
        As of `moestat.fit`.

    Returns
    -------
    Prepared

    Examples
    --------
    >>> import numpy as np, moestat as ms
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1.0, 1.0, (100, 200))
    >>> y = np.where(rng.random(x.shape) < 1 / (1 + np.exp(-4 * x)), 2 * x, -x) + 0.3 * rng.standard_normal(x.shape)
    >>> model = ms.MixtureOfExperts(n_experts=2)
    >>> truth = model.params(
    ...     gate=dict(slopes=[[4.0], [0.0]], intercepts=[0.0, 0.0]),
    ...     expert=dict(slopes=[[2.0], [-1.0]], intercepts=[0.0, 0.0], variances=[0.09, 0.09]),
    ... )
    >>> ends = ms.prepare(model, x[0], y[0]).fit_many(x, y, start=truth)
    >>> ends.loglik.shape
    (100, 1)
    """
    if not isinstance(model, MixtureOfExperts):
        raise InputError(f"model must be a MixtureOfExperts; got {type(model).__name__}.")
    rows = model.data(X, y, Z)
    return Prepared(model, rows.schema, Z is None, check_bounds(model, rows.schema, bounds))
