"""Rows drawn from a model, with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from moestat.datasets.dataset import quoted
from moestat.errors import InputError
from moestat.typing import FloatArray, IntArray
from moestat.validate import as_matrix, column_names

if TYPE_CHECKING:
    import pandas as pd

    from moestat.formula import FormulaModel
    from moestat.model import MixtureOfExperts, MoEParams
    from moestat.results import Results

#: Laws of covariates by name: an array (n, d) from a generator.
LAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], FloatArray]] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
}


@dataclass(frozen=True, eq=False, repr=False)
class Simulated:
    """Simulated rows; made by `simulate`.

    Attributes
    ----------
    X, Z : DataFrame
        Covariates of the experts and of the gate.
    y : Series
        Response; a categorical, with all classes in their order, where experts describe classes.
    expert : ndarray of int (n,)
        The expert that drew each row, hidden from a fit. Counted from 1, as in parameter names.
    model : MixtureOfExperts
    params : MoEParams
        The truth.
    formula : str
        The model as a formula for `frame`.
    """

    X: pd.DataFrame
    Z: pd.DataFrame
    y: pd.Series[Any]
    expert: IntArray
    model: MixtureOfExperts
    params: MoEParams
    formula: str
    _columns: pd.DataFrame
    _known_terms: Mapping[str, Any]

    @property
    def frame(self) -> pd.DataFrame:
        """Covariates and response, one column each; not the expert."""
        return self._columns.assign(**{str(self.y.name): self.y})

    def moe(self) -> FormulaModel:
        """The true model with these rows, to be fitted by ``.fit()``."""
        from moestat.formula import moe

        model = self.model
        return moe(
            self.formula,
            self.frame,
            gate=model.gate,
            expert=getattr(model.expert, "families", model.expert),
            n_experts=model.n_experts,
            fixed=_held_beside(self.formula, model.fixed or {}),
            **self._known_terms,
        )

    def __repr__(self) -> str:
        counts = np.bincount(self.expert, minlength=self.model.n_experts + 1)[1:]
        return f"Simulated({self.formula!r}, {len(self.y)} rows, by expert {counts.tolist()})"


def simulate(
    model: MixtureOfExperts | Results,
    params: MoEParams | None = None,
    n: int | None = None,
    *,
    X: Any = None,
    Z: Any = None,
    covariates: str | Callable[[np.random.Generator, int], Any] | None = None,
    classes: Sequence[Any] | None = None,
    seed: int = 0,
) -> Simulated:
    """Draw rows from a model: covariates, then an expert by the gate, then a response by that expert.

    Parameters
    ----------
    model : MixtureOfExperts or Results
        A fit stands for its model, its estimates, and the names of its columns and classes.
    params : MoEParams, optional
        The truth, from ``model.params(gate=..., expert=...)``; left out when a fit is given.
    n : int, optional
        Number of rows: 1000 when left out, or the rows of X.
    X, Z : array-like or DataFrame, optional
        Covariates of the experts and of the gate to use as they are; Z is X when left out. For a fit by a formula,
        X is a data frame with the columns of the formula.
    covariates : {"uniform", "normal"} or callable, optional
        The law of the covariates where X is left out: independent columns, uniform on (0, 1), which is the default,
        or standard normal; or a function ``(rng, n)`` that returns X or the pair (X, Z). A fit needs X or a law.
    classes : sequence, optional
        Labels of the classes, in the order of the parameters; the first is the reference.
        0, 1, ... when left out, or those of the fit.
    seed : int
        The same seed gives the same rows.

    Returns
    -------
    Simulated
        ``.frame``, ``.X``, ``.y``, ``.Z``, the hidden ``.expert``, the truth ``.params``, and ``.moe()`` to fit it.

    Raises
    ------
    InputError
        When parameters, covariates, n and classes do not agree; the message says what to pass.

    Examples
    --------
    >>> import moestat as ms
    >>> model = ms.MixtureOfExperts(n_experts=2)
    >>> truth = model.params(
    ...     gate=dict(slopes=[[4.0], [0.0]], intercepts=[-2.0, 0.0]),
    ...     expert=dict(slopes=[[3.0], [-1.0]], intercepts=[0.0, 1.0], variances=[0.04, 0.09]),
    ... )
    >>> results = ms.datasets.simulate(model, truth, n=500).moe().fit(n_starts=3)
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed must be a whole number, not negative; got {seed!r}.")
    rng = np.random.default_rng(seed)
    truth = _truth(model, params, classes)
    rows = _covariates(truth, _count(n, X), X, Z, covariates, rng)
    drawn, expert = truth.model.sample_with_experts(
        truth.params, rows.X.to_numpy(), rng, rows.Z.to_numpy(), offset=rows.offset
    )
    return Simulated(
        X=rows.X,
        Z=rows.Z,
        y=_response(truth, drawn),
        expert=expert + 1,
        model=truth.model,
        params=truth.params,
        formula=f"{quoted(truth.response)} ~ {rows.right}",
        _columns=rows.columns,
        _known_terms=rows.known_terms,
    )


def _held_beside(formula: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The held fields but for the intercepts that the formula itself leaves out (0 +)."""
    from moestat.frames.grammar import parse

    parsed = parse(formula)
    without = {name for name, part in (("expert", parsed.expert), ("gate", parsed.gate)) if not part.intercept}
    return {
        path: value
        for path, value in fixed.items()
        if not (path.split(".")[0] in without and path.endswith("intercepts"))
    }


# --------------------------------------------------------------------------------------- truth
class _Truth(NamedTuple):
    model: MixtureOfExperts
    params: MoEParams
    features: tuple[str, ...]
    gate_features: tuple[str, ...]
    response: str
    classes: tuple[Any, ...] | None
    fitted: bool
    design: Any


def _truth(model: Any, params: Any, classes: Any) -> _Truth:
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
    return _Truth(known, params, schema.features, schema.gate_features, schema.responses[0], labels, fitted, design)


def _labels(known: tuple[Any, ...] | None, given: Any) -> tuple[Any, ...] | None:
    if given is None:
        return known
    if known is None:
        raise InputError("classes are for experts that describe classes; these describe numbers. Leave classes out.")
    labels = tuple(given)
    if len(set(labels)) != len(known) or len(labels) != len(known):
        raise InputError(f"classes must be {len(known)} different labels, one per class; got {list(labels)}.")
    return labels


def _response(truth: _Truth, drawn: FloatArray) -> pd.Series[Any]:
    import pandas as pd

    if truth.classes is None:
        return pd.Series(drawn, name=truth.response)
    classes = pd.Index(truth.classes, tupleize_cols=False)
    return pd.Series(pd.Categorical(classes[drawn.astype(np.int64)], categories=classes), name=truth.response)


# --------------------------------------------------------------------------------------- covariates
class _Covariates(NamedTuple):
    """Covariates with the columns that they come from, and the right-hand side of their formula."""

    X: pd.DataFrame
    Z: pd.DataFrame
    columns: pd.DataFrame
    right: str
    offset: Any = None
    known_terms: Mapping[str, Any] = {}


def _count(n: Any, X: Any) -> int:
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        raise InputError(f"n must be a whole number of at least 1; got {n!r}.")
    if X is None:
        return 1000 if n is None else int(n)
    rows = len(X) if np.ndim(X) or hasattr(X, "columns") else 0
    if n is not None and rows != n:
        raise InputError(f"n={n}, but X has {rows} rows. Leave n out: there is one response for every row of X.")
    return rows


def _covariates(truth: _Truth, n: int, X: Any, Z: Any, law: Any, rng: np.random.Generator) -> _Covariates:
    if X is None and Z is not None:
        raise InputError("Z was given without X. Pass both, or neither and a law: covariates='normal'.")
    if callable(law) and X is None:
        made = law(rng, n)
        X, Z = made if isinstance(made, tuple) else (made, None)
    if X is None:
        return _drawn(truth, n, law, rng)
    if Z is None and truth.design is not None and truth.design.reads(X, truth.features, truth.gate_features):
        return _designed(truth, X)
    X = _named("X", X, truth.features, n)
    if Z is None and X.shape[1] != len(truth.gate_features):
        if truth.gate_features:
            raise InputError(f"Z is needed: the gate has its own {len(truth.gate_features)} covariates.")
        Z = np.empty((n, 0))
    return _joined(X, X if Z is None else _named("Z", Z, truth.gate_features, n))


def _drawn(truth: _Truth, n: int, law: Any, rng: np.random.Generator) -> _Covariates:
    """Independent columns by a named law, one for each name."""
    import pandas as pd

    if truth.fitted and law is None:
        raise InputError(
            "X is needed: a fit says nothing about the law of its covariates. Pass X=frame with rows of your own, or "
            "covariates=a function (rng, n) -> X."
        )
    if truth.design is not None:
        raise InputError(
            "covariates must be a function (rng, n) -> data frame for a fit by a formula, with the columns of the "
            f"formula; got {law!r}. Or pass such a frame as X."
        )
    law = "uniform" if law is None else law
    if not isinstance(law, str) or law not in LAWS:
        raise InputError(f"covariates must be one of {sorted(LAWS)} or a function (rng, n) -> X; got {law!r}.")
    names = list(dict.fromkeys([*truth.features, *truth.gate_features]))
    table = pd.DataFrame(LAWS[law](rng, (n, len(names))), columns=names)
    return _joined(table[list(truth.features)], table[list(truth.gate_features)])


def _named(what: str, value: Any, expected: tuple[str, ...], n: int) -> pd.DataFrame:
    """Columns under their own names, or under those that the truth has for them."""
    import pandas as pd

    matrix = as_matrix(what, value, n)
    if matrix.shape[1] != len(expected):
        raise InputError(f"{what} must have {len(expected)} columns, as the parameters do; got {matrix.shape[1]}.")
    named = hasattr(value, "columns") or getattr(value, "name", None) is not None
    return pd.DataFrame(matrix, columns=list(column_names(value, "x", len(expected)) if named else expected))


def _joined(X: pd.DataFrame, Z: pd.DataFrame) -> _Covariates:
    """X and Z as one table; a name in both must mean one column."""
    clash = [name for name in Z.columns if name in X.columns and not X[name].equals(Z[name])]
    if clash:
        raise InputError(f"X and Z hold different columns of the name {clash[0]!r}. Rename one of them.")
    columns = X.assign(**{name: Z[name] for name in Z.columns if name not in X.columns})
    right = _sum(X)
    return _Covariates(X, Z, columns, right if list(X.columns) == list(Z.columns) else f"{right} | {_sum(Z)}")


def _sum(columns: pd.DataFrame) -> str:
    return " + ".join(map(quoted, columns.columns)) or "1"


def _designed(truth: _Truth, frame: Any) -> _Covariates:
    """Covariates that the formula of a fit makes of a user's columns."""
    from moestat.frames.columns import as_frame

    X, Z, _, offset = truth.design.rows(frame)
    columns = as_frame("X", frame).reset_index(drop=True)
    right = truth.design.formula.text.split("~", 1)[1].strip()
    known = {"offset": truth.design.offset, "exposure": truth.design.exposure}
    terms = {name: column for name, column in known.items() if column is not None}
    return _Covariates(X, X if Z is None else Z, columns, right, offset, terms)
